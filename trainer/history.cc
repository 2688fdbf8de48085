#include "trainer/history.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <chrono>

#include "cddp/status.h"
#include "trainer/data/file_bytes.h"
#include "trainer/json_file.h"
#include "trainer/report_file.h"

namespace cddp {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kMostEpochs = 1'000'000;
constexpr int64_t kMostSteps = 1'000'000'000'000'000;
constexpr double kMostOfAnything = 1e30;  // milliseconds, seconds, bytes: so that sums are finite

// `rows` as ToJson(EpochRecord) makes them.
std::string HistoryCsv(const nlohmann::json& rows) {
  if (rows.empty()) return "";
  std::vector<const char*> columns;
  for (auto it = rows[0].begin(); it != rows[0].end(); ++it) columns.push_back(it.key().c_str());
  return CsvOf(columns, rows);
}

}  // namespace

void AddEpoch(const EpochRecord& record, TrainingSummary* s) {
  s->history.push_back(record);
  s->epochs = record.epoch;
  s->void_steps += record.void_steps;
  s->test_accuracy_percent = record.test_accuracy_percent;
  s->test_loss = record.test_loss;
  s->test_bits_per_byte = record.test_bits_per_byte;
  EpochRecord sum;
  double samples = 0;
  for (const EpochRecord& epoch : s->history) {
    samples += epoch.images_per_s * epoch.epoch_s;
    sum.epoch_s += epoch.epoch_s;
    sum.tx_bytes_per_step += epoch.tx_bytes_per_step;
    sum.rx_bytes_per_step += epoch.rx_bytes_per_step;
  }
  const auto epochs = static_cast<double>(s->history.size());
  s->images_per_s = samples / sum.epoch_s;
  s->epoch_s_mean = sum.epoch_s / epochs;
  s->tx_bytes_per_step = sum.tx_bytes_per_step / epochs;
  s->rx_bytes_per_step = sum.rx_bytes_per_step / epochs;
}

std::string NotSaved(const TrainingSummary& s) {
  std::vector<std::string> what;
  if (!s.checkpoint_failure.empty()) {
    what.push_back("its last checkpoint could not be saved: " + s.checkpoint_failure);
  }
  if (!s.folder_failure.empty()) what.push_back("its run folder is not whole: " + s.folder_failure);
  return fmt::format("{}", fmt::join(what, "; "));
}

nlohmann::json ToJson(const StepMeans& m) {
  return {{"data_ms", m.data_ms},
          {"forward_ms", m.forward_ms},
          {"backward_ms", m.backward_ms},
          {"exposed_ms", m.exposed_ms},
          {"optimizer_ms", m.optimizer_ms},
          {"sent_fraction", m.sent_fraction},
          {"residual_norm", m.residual_norm}};
}

nlohmann::json ToJson(const EpochRecord& r) {
  nlohmann::json json = {{"epoch", r.epoch},
                         {"train_loss", r.train_loss},
                         {"train_accuracy_percent", r.train_accuracy_percent},
                         {"test_loss", r.test_loss},
                         {"test_accuracy_percent", r.test_accuracy_percent},
                         {"learning_rate", r.learning_rate},
                         {"epoch_s", r.epoch_s},
                         {"images_per_s", r.images_per_s},
                         {"tx_bytes_per_step", r.tx_bytes_per_step},
                         {"rx_bytes_per_step", r.rx_bytes_per_step},
                         {"void_steps", r.void_steps}};
  if (r.test_bits_per_byte) json["test_bits_per_byte"] = *r.test_bits_per_byte;
  json.update(ToJson(r.means));
  return json;
}

nlohmann::json ToJson(const EvaluationRecord& r) {
  return {{"step", r.step},
          {"train_s", r.train_s},
          {"test_loss", r.test_loss},
          {"test_accuracy_percent", r.test_accuracy_percent}};
}

EpochRecord EpochRecordFromJson(const nlohmann::json& json, const std::string& where) {
  const auto number = [&](const char* key) { return NumberOrNan(json, key, where); };
  const auto amount = [&](const char* key) {
    return NumberWithin(json, key, 0, kMostOfAnything, where);
  };
  EpochRecord record{
      .epoch = static_cast<int>(Whole(json, "epoch", 1, kMostEpochs, where)),
      .train_loss = number("train_loss"),
      .train_accuracy_percent = number("train_accuracy_percent"),
      .test_loss = number("test_loss"),
      .test_accuracy_percent = number("test_accuracy_percent"),
      .test_bits_per_byte = {},
      .learning_rate = Number(json, "learning_rate", where),
      .epoch_s = amount("epoch_s"),
      .images_per_s = number("images_per_s"),
      .tx_bytes_per_step = amount("tx_bytes_per_step"),
      .rx_bytes_per_step = amount("rx_bytes_per_step"),
      .void_steps = static_cast<uint64_t>(Whole(json, "void_steps", 0, kMostSteps, where)),
      .means = {.data_ms = amount("data_ms"),
                .forward_ms = amount("forward_ms"),
                .backward_ms = amount("backward_ms"),
                .exposed_ms = amount("exposed_ms"),
                .optimizer_ms = amount("optimizer_ms"),
                .sent_fraction = number("sent_fraction"),
                .residual_norm = number("residual_norm")}};
  if (json.contains("test_bits_per_byte")) {
    record.test_bits_per_byte = number("test_bits_per_byte");
  }
  return record;
}

EvaluationRecord EvaluationRecordFromJson(const nlohmann::json& json, const std::string& where) {
  return {.step = static_cast<uint64_t>(Whole(json, "step", 0, kMostSteps, where)),
          .train_s = NumberWithin(json, "train_s", 0, kMostOfAnything, where),
          .test_loss = NumberOrNan(json, "test_loss", where),
          .test_accuracy_percent = NumberOrNan(json, "test_accuracy_percent", where)};
}

nlohmann::json ToJson(const TrainingSummary& s) {
  nlohmann::json history = nlohmann::json::array();
  for (const EpochRecord& record : s.history) history.push_back(ToJson(record));
  nlohmann::json evaluations = nlohmann::json::array();
  for (const EvaluationRecord& record : s.evaluations) evaluations.push_back(ToJson(record));
  nlohmann::json json = {{"compress", s.compress},
                         {"ratio", s.ratio},
                         {"memory", s.memory},
                         {"collective", s.collective},
                         {"dataset", s.dataset},
                         {"model", s.model},
                         {"epochs", s.epochs},
                         {"world_size", s.world_size},
                         {"parameters", s.parameters},
                         {"test_accuracy_percent", s.test_accuracy_percent},
                         {"test_loss", s.test_loss},
                         {"tx_bytes_per_step", s.tx_bytes_per_step},
                         {"rx_bytes_per_step", s.rx_bytes_per_step},
                         {"images_per_s", s.images_per_s},
                         {"step_ms_median", s.step_ms_median},
                         {"epoch_s_mean", s.epoch_s_mean},
                         {"steps", s.steps},
                         {"second_sweep_fraction", s.second_sweep_fraction},
                         {"void_steps", s.void_steps},
                         {"parameters_xxh3", s.parameters_xxh3},
                         {"evaluations", evaluations},
                         {"history", history}};
  if (s.test_bits_per_byte) json["test_bits_per_byte"] = *s.test_bits_per_byte;
  return json;
}

RunFolder::RunFolder(const fs::path& log_dir, const std::string& name,
                     const nlohmann::json& config) {
  const auto now =
      std::chrono::time_point_cast<std::chrono::seconds>(std::chrono::system_clock::now());
  const std::string base = fmt::format("{:%Y%m%d-%H%M%S}-{}", now, name);
  try {
    fs::create_directories(log_dir);
    path_ = log_dir / base;
    for (int number = 2; !fs::create_directory(path_); ++number) {
      path_ = log_dir / fmt::format("{}-{}", base, number);
    }
  } catch (const fs::filesystem_error& error) {
    throw StatusError(
        StatusCode::kUnavailable,
        fmt::format("cannot make a run folder in {}: {}; choose another with --log-dir",
                    log_dir.string(), error.code().message()));
  }
  WriteFileAtomically(path_ / "config.json", config.dump(2) + '\n');
}

RunFolder::~RunFolder() {
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator(path_, error)) {
    const fs::path name = entry.path().filename();
    // (What is no file has no size, which counts as the largest.)
    if (name != "config.json" && name != "config.yaml" && entry.file_size(error) > 0) return;
  }
  fs::remove_all(path_, error);
}

void RunFolder::Write(const TrainingSummary& summary) const {
  const nlohmann::json report = ToJson(summary);
  WriteFileAtomically(path_ / "history.csv", HistoryCsv(report["history"]));
  WriteFileAtomically(path_ / "history.json", report["history"].dump(2) + '\n');
  WriteFileAtomically(path_ / "summary.json", report.dump(2) + '\n');
}

}  // namespace cddp

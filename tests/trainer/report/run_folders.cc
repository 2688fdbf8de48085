#include "tests/trainer/report/run_folders.h"

#include <fstream>
#include <sstream>

#include "trainer/history.h"

namespace cddp {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

EpochRecord Epoch(int epoch) {
  return {.epoch = epoch,
          .train_loss = 1.0 / epoch,
          .train_accuracy_percent = 90,
          .test_loss = 1.0 / epoch,
          .test_accuracy_percent = 90.0 + epoch,
          .learning_rate = 0.05,
          .epoch_s = 10,
          .images_per_s = 640,
          .tx_bytes_per_step = 1000,
          .rx_bytes_per_step = 1000,
          .means = {.forward_ms = 40, .backward_ms = 60}};
}

}  // namespace

fs::path RunFolders::MakeRun(const std::string& name, int epochs) const {
  const fs::path folder = path() / name;
  fs::create_directories(folder);
  TrainingSummary summary{.dataset = "mnist",
                          .model = "simple_cnn",
                          .epochs = epochs,
                          .world_size = 2,
                          .parameters = 10'000,
                          .test_accuracy_percent = 90.0 + epochs,
                          .tx_bytes_per_step = 1000,
                          .images_per_s = 640,
                          .epoch_s_mean = 10,
                          .steps = 100u * static_cast<unsigned>(epochs)};
  std::string metrics;
  for (int epoch = 1; epoch <= epochs; ++epoch) {
    summary.history.push_back(Epoch(epoch));
    const auto start = 100u * static_cast<unsigned>(epoch - 1);
    metrics += StepLine(start + 50, epoch, 1.0 / epoch) + EpochLine(start + 100, epoch);
  }
  WriteJson(folder / "config.json", Json{{"dataset", "mnist"},
                                         {"model", "simple_cnn"},
                                         {"world_size", 2},
                                         {"compress", false},
                                         {"epochs", epochs},
                                         {"log_every", 50}});
  const Json report = ToJson(summary);
  WriteJson(folder / "summary.json", report);
  WriteJson(folder / "history.json", report["history"]);
  Write(folder / "metrics.jsonl", metrics);
  return folder;
}

void RunFolders::Write(const fs::path& file, const std::string& text) const {
  std::ofstream(file) << text;
}

void RunFolders::WriteJson(const fs::path& file, const Json& json) const {
  Write(file, json.dump(2) + '\n');
}

void RunFolders::Set(const fs::path& file, const std::string& key, const Json& value) const {
  Json json = Json::parse(TextOf(file));
  json[key] = value;
  WriteJson(file, json);
}

std::string TextOf(const fs::path& file) {
  std::ostringstream text;
  text << std::ifstream(file).rdbuf();
  return text.str();
}

std::string StepLine(uint64_t step, int epoch, double loss) {
  return Json{{"kind", "step"},     {"step", step},
              {"epoch", epoch},     {"loss", loss},
              {"data_ms", 0},       {"forward_ms", 30},
              {"backward_ms", 50},  {"exposed_ms", 10},
              {"optimizer_ms", 10}, {"tx_bytes_per_step", 1000}}
             .dump() +
         '\n';
}

std::string EpochLine(uint64_t step, int epoch) {
  return Json{{"kind", "epoch"},
              {"step", step},
              {"epoch", epoch},
              {"epoch_s", 10},
              {"tx_bytes_per_step", 1000}}
             .dump() +
         '\n';
}

Json TestResult() {
  const Json scores = {{"precision_fraction", 0.9},
                       {"recall_fraction", 0.8},
                       {"f1_fraction", 0.85},
                       {"support", 10}};
  Json cat = scores, dog = scores;
  cat["name"] = "cat";
  dog["name"] = "dog";
  return {{"samples", 20},
          {"accuracy_percent", 85.0},
          {"loss", 0.4},
          {"epoch", 2},
          {"class_names", {"cat", "dog"}},
          {"confusion_matrix", {{8, 2}, {1, 9}}},
          {"classes", {cat, dog}},
          {"macro_average", scores},
          {"weighted_average", scores},
          {"top_confusions",
           Json::array({{{"true", "cat"}, {"predicted", "dog"}, {"count", 2}, {"fraction", 0.2}}})},
          {"expected_calibration_error_fraction", 0.05},
          {"calibration", Json::array({{{"confidence_low", 0.9},
                                        {"confidence_high", 1.0},
                                        {"samples", 20},
                                        {"accuracy_fraction", nullptr},
                                        {"confidence_fraction", 0.95}}})},
          {"worst", Json::array({{{"index", 7},
                                  {"true", "cat"},
                                  {"predicted", "dog"},
                                  {"probability", 0.01},
                                  {"loss", 4.6}}})}};
}

}  // namespace cddp

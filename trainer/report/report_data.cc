#include "trainer/report/report_data.h"

#include <fmt/format.h>

#include <filesystem>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include "trainer/comparison.h"
#include "trainer/json_file.h"

namespace cddp {
namespace {

using Json = nlohmann::json;

// Of the configuration, or of the summary where that is all there is.
std::string Setting(const Json& run, const char* key) {
  for (const char* part : {"config", "summary"}) {
    const auto found = run[part].find(key);
    if (found != run[part].end() && found->is_string()) return *found;
  }
  return "unknown";
}

std::optional<double> Figure(const Json& run, const char* key) {
  const auto found = run["summary"].find(key);
  if (found == run["summary"].end() || !found->is_number()) return std::nullopt;
  return found->get<double>();
}

RunFigures FiguresOf(const Json& run) {
  const bool text = run["summary"].contains("test_bits_per_byte");
  return {.epoch_s = Figure(run, "epoch_s_mean"),
          .accuracy_percent = text ? std::nullopt : Figure(run, "test_accuracy_percent"),
          .tx_bytes_per_step = Figure(run, "tx_bytes_per_step")};
}

Json ComparedTo(const Json& reference, const Json& run) {
  const RunRelation relation = RelationTo(FiguresOf(reference), FiguresOf(run));
  return {{"reference", reference["label"]},
          {"speedup", OrNull(relation.speedup)},
          {"accuracy_difference_percent", OrNull(relation.accuracy_difference)},
          {"tx_bytes_reduction", OrNull(relation.tx_bytes_reduction)}};
}

void Compare(std::vector<Json>& runs) {
  std::map<std::pair<std::string, std::string>, std::vector<Json*>> groups;
  for (Json& run : runs) groups[{Setting(run, "dataset"), Setting(run, "model")}].push_back(&run);
  for (const auto& [unused, group] : groups) {
    if (group.size() == 1) continue;
    for (Json* run : group) {
      if ((*run)["comparison"].is_null()) (*run)["comparison"] = ComparedTo(*group[0], *run);
    }
  }
}

void TellApart(std::vector<Json>& runs) {
  std::map<std::string, int> before;
  for (const Json& run : runs) ++before[run["label"]];
  std::set<std::string> taken;
  for (Json& run : runs) {
    std::string label = run["label"];
    if (before[label] > 1) {
      const auto folder = std::filesystem::path(run["folder"].get<std::string>());
      // Runs of one name differ in the folder above.
      label = folder.filename() == label
                  ? folder.string()
                  : fmt::format("{} · {}", label, folder.filename().string());
    }
    std::string name = label;
    for (int number = 2; !taken.insert(name).second; ++number) {
      name = fmt::format("{} · {}", label, number);
    }
    run["label"] = name;
  }
}

std::vector<std::string> Different(const std::vector<Json>& runs, const char* key) {
  std::set<std::string> values;
  for (const Json& run : runs) values.insert(Setting(run, key));
  return {values.begin(), values.end()};
}

void AddNotices(const std::vector<Json>& runs, std::vector<std::string>* notices) {
  if (const auto datasets = Different(runs, "dataset"); datasets.size() > 1) {
    notices->push_back(fmt::format(
        "These runs are of different data sets ({}). Loss and accuracy of different data sets "
        "cannot be compared: they are drawn apart, and speed-ups and differences are given only "
        "within a data set.",
        fmt::join(datasets, ", ")));
  }
  if (const auto models = Different(runs, "model"); models.size() > 1) {
    notices->push_back(fmt::format(
        "These runs are of different models ({}): their times and bytes differ by that too, and "
        "speed-ups and differences are given only within a model.",
        fmt::join(models, ", ")));
  }
  for (const Json& run : runs) {
    const auto epochs = run["config"].find("epochs");
    if (epochs == run["config"].end() || !epochs->is_number_integer()) continue;
    const auto done = static_cast<int64_t>(run["epochs"]["epoch"].size());
    if (done >= epochs->get<int64_t>()) continue;
    notices->push_back(fmt::format("{} has done {} of {} epochs.", run["label"].get<std::string>(),
                                   done, epochs->get<int64_t>()));
  }
}

}  // namespace

Json ReportData(std::vector<Json> runs, std::vector<std::string> notices) {
  TellApart(runs);
  Compare(runs);
  AddNotices(runs, &notices);
  const std::string title =
      runs.size() == 1 ? runs[0]["label"].get<std::string>() : fmt::format("{} runs", runs.size());
  return {{"title", title}, {"notices", notices}, {"runs", std::move(runs)}};
}

}  // namespace cddp

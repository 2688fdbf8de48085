#include "trainer/report/read_run.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <functional>
#include <optional>
#include <string>

#include "cddp/status.h"
#include "trainer/json_file.h"
#include "trainer/plan_file.h"
#include "trainer/report/curves.h"
#include "trainer/report/metrics_file.h"
#include "trainer/test_result.h"

namespace cddp {
namespace {

namespace fs = std::filesystem;

// More than a chart has pixels to tell apart.
constexpr size_t kMostPoints = 500;

bool Has(const fs::path& path) {
  std::error_code error;
  return fs::exists(path, error);
}

std::string NameOf(const fs::path& folder) {
  // "runs/name/" ends in an empty name.
  const fs::path whole = fs::absolute(folder).lexically_normal();
  return (whole.has_filename() ? whole : whole.parent_path()).filename().string();
}

std::optional<double> Steps(const nlohmann::json& summary) {
  const auto steps = summary.find("steps");
  if (steps == summary.end() || !steps->is_number()) return std::nullopt;
  return steps->get<double>();
}

nlohmann::json ReadLayers(const fs::path& path) {
  const nlohmann::json json = ReadJsonFile(path);
  nlohmann::json layers = nlohmann::json::array();
  for (const nlohmann::json& layer : Array(json, "layers", path.string())) {
    const std::string where = fmt::format("{}, layer {}", path.string(), layers.size() + 1);
    layers.push_back({{"name", Text(layer, "name", where)},
                      {"elements", Number(layer, "elements", where)},
                      {"sent_fraction", NumberOrNull(layer, "sent_fraction", where)},
                      {"residual_norm", NumberOrNull(layer, "residual_norm", where)}});
  }
  return layers;
}

nlohmann::json Run(const fs::path& folder, const nlohmann::json& config,
                   const nlohmann::json& summary, const nlohmann::json& history,
                   const std::string& history_file, const std::vector<MetricsRecord>& metrics) {
  const fs::path unslashed = folder.has_filename() ? folder : folder.parent_path();
  nlohmann::json run = {{"label", NameOf(folder)},
                        {"folder", unslashed.string()},
                        {"config", config},
                        {"summary", summary},
                        {"epochs", EpochCurves(history, metrics, Steps(summary), history_file)},
                        {"steps", StepCurve(metrics, kMostPoints)},
                        {"layers", nullptr},
                        {"test", nullptr},
                        {"plan", nullptr},
                        {"comparison", nullptr}};
  run["summary"].erase("history");
  return run;
}

// The run of a folder that holds config.json; what it can do without goes to `errors` when it
// can't be read.
nlohmann::json ReadRun(const fs::path& folder, std::vector<Status>* errors) {
  const nlohmann::json config = ReadJsonFile(folder / "config.json");
  RequireKeys(config, {"dataset", "model", "world_size", "compress"},
              (folder / "config.json").string());
  nlohmann::json summary = nlohmann::json::object(), history = nlohmann::json::array();
  if (const fs::path path = folder / "summary.json"; Has(path)) {
    summary = ReadJsonFile(path);
    RequireKeys(summary, {"test_accuracy_percent", "images_per_s", "parameters"}, path.string());
  }
  const fs::path history_file = folder / "history.json";
  if (Has(history_file)) history = ReadJsonFile(history_file);
  const auto read = [&](const char* file, const std::function<void(const fs::path&)>& how) {
    if (!Has(folder / file)) return;
    try {
      how(folder / file);
    } catch (const StatusError& error) {
      errors->push_back(error.status());
    }
  };
  std::vector<MetricsRecord> metrics;
  read("metrics.jsonl", [&](const fs::path& path) { metrics = ReadMetrics(path); });
  nlohmann::json run = Run(folder, config, summary, history, history_file.string(), metrics);
  if (history.empty() && run["steps"].is_null()) {
    throw StatusError(StatusCode::kInvalidArgument,
                      fmt::format("nothing to show: {} is half-written: history.json is missing, "
                                  "which comes with the end of the first epoch",
                                  folder.string()));
  }
  read("layers.json", [&](const fs::path& path) { run["layers"] = ReadLayers(path); });
  read("test.json", [&](const fs::path& path) { run["test"] = ReadTestResult(path); });
  read("plan.json", [&](const fs::path& path) { run["plan"] = ToJson(ReadPlan(path.string())); });
  return run;
}

// `said` is what comparison.json says of one run.
nlohmann::json ReadComparedRun(const nlohmann::json& said, const fs::path& comparison,
                               const std::string& where, std::vector<Status>* errors) {
  const fs::path as_written = Text(said, "run_folder", where);
  const std::string label = Text(said, "label", where);
  // The whole of it may have been moved.
  fs::path folder = as_written;
  if (!Has(folder / "config.json")) {
    folder = fs::absolute(comparison).lexically_normal() / ".." / NameOf(as_written);
    folder = folder.lexically_normal();
  }
  nlohmann::json run;
  if (Has(folder / "config.json")) {
    try {
      run = ReadRun(folder, errors);
    } catch (const StatusError& error) {
      errors->push_back(error.status());
    }
  } else {
    spdlog::warn("{}: the folder {} of \"{}\" is gone; the report shows what is kept here of it",
                 where, as_written.string(), label);
  }
  if (run.is_null()) {
    RequireKeys(said, {"summary"}, where);
    const nlohmann::json& summary = said["summary"];
    run = Run(as_written, nlohmann::json::object(), summary,
              Array(summary, "history", where + ", summary"), where + ", history", {});
  }
  run["label"] = label;
  for (const char* key : {"speedup", "efficiency_fraction", "accuracy_difference_percent",
                          "tx_bytes_reduction", "seconds_to_accuracy"}) {
    run["comparison"][key] = NumberOrNull(said, key, where);
  }
  return run;
}

FolderRuns ReadComparedRuns(const nlohmann::json& json, const fs::path& folder) {
  const std::string file = (folder / "comparison.json").string();
  FolderRuns all;
  size_t number = 0;
  for (const nlohmann::json& said : Array(json, "runs", file)) {
    try {
      all.runs.push_back(
          ReadComparedRun(said, folder, fmt::format("{}, run {}", file, ++number), &all.errors));
      all.runs.back()["comparison"]["target_accuracy_percent"] =
          NumberOrNull(json, "target_accuracy_percent", file);
    } catch (const StatusError& error) {
      all.errors.push_back(error.status());
    }
  }
  if (number > 0) return all;
  throw StatusError(StatusCode::kCorrupt, fmt::format("{}: it holds no runs", file));
}

}  // namespace

FolderRuns ReadRuns(const fs::path& folder) {
  std::error_code error;
  if (!fs::is_directory(folder, error)) {
    throw StatusError(StatusCode::kUnavailable,
                      fmt::format("a run folder is expected, but {} is {}; cddp train makes one "
                                  "under runs/ and says its name",
                                  folder.string(), Has(folder) ? "a file" : "not there"));
  }
  const bool is_run = Has(folder / "config.json");
  if (const fs::path comparison = folder / "comparison.json"; Has(comparison)) {
    const nlohmann::json json = ReadJsonFile(comparison);
    // Of a run that was compared by an earlier version it holds no runs.
    if (json.contains("runs") || !is_run) return ReadComparedRuns(json, folder);
  }
  if (!is_run) {
    throw StatusError(StatusCode::kInvalidArgument,
                      fmt::format("{} is no run folder: it holds neither config.json nor "
                                  "comparison.json; give one of those under runs/",
                                  folder.string()));
  }
  FolderRuns one;
  one.runs.push_back(ReadRun(folder, &one.errors));
  return one;
}

}  // namespace cddp

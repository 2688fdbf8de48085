#include "trainer/plots/run_files.h"

#include <fmt/format.h>

#include "cddp/status.h"
#include "trainer/json_file.h"

namespace cddp {
namespace {

constexpr int64_t kMostWorkers = 1 << 20;
constexpr int64_t kMostStepsOfRun = 1'000'000'000'000'000;

}  // namespace

std::vector<EpochRecord> ParseHistory(const nlohmann::json& history, const std::string& where) {
  if (!history.is_array() || history.empty()) {
    throw StatusError(StatusCode::kCorrupt,
                      fmt::format("{}: a list of epochs is expected, got {}", where,
                                  history.is_array() ? "an empty one: no epoch has ended yet"
                                                     : history.type_name()));
  }
  std::vector<EpochRecord> records;
  for (const nlohmann::json& row : history) {
    records.push_back(
        EpochRecordFromJson(row, fmt::format("{}, epoch {}", where, records.size() + 1)));
  }
  return records;
}

TrainingSummary ParseSummary(const nlohmann::json& summary, const std::string& where) {
  RequireKeys(summary, {"compress", "ratio", "dataset", "model", "world_size", "steps"}, where);
  TrainingSummary s;
  s.compress = summary["compress"] == true;
  s.ratio = NumberWithin(summary, "ratio", 0, 1, where);
  s.dataset = Text(summary, "dataset", where);
  s.model = Text(summary, "model", where);
  s.world_size = static_cast<int>(Whole(summary, "world_size", 1, kMostWorkers, where));
  s.steps = static_cast<uint64_t>(Whole(summary, "steps", 0, kMostStepsOfRun, where));
  if (!summary.contains("evaluations")) return s;
  for (const nlohmann::json& row : Array(summary, "evaluations", where)) {
    s.evaluations.push_back(EvaluationRecordFromJson(
        row, fmt::format("{}, evaluation {}", where, s.evaluations.size() + 1)));
  }
  return s;
}

std::string WhatIsSent(const TrainingSummary& summary) {
  return summary.compress ? fmt::format("top {:.4g}%", 100 * summary.ratio) : "dense";
}

}  // namespace cddp

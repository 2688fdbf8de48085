#include "trainer/plots/run_files.h"

#include <fmt/format.h>

#include <limits>

#include "cddp/status.h"
#include "trainer/json_file.h"

namespace cddp {
namespace {

constexpr double kMostWorkers = 1 << 20;
constexpr double kMostEpochs = 1e6;
constexpr double kMostSteps = 1e15;
constexpr double kMostOfAnything = 1e30;  // milliseconds, seconds, bytes: so that sums are finite

// JSON has null for what is not finite.
double NumberOrNan(const nlohmann::json& row, const char* key, const std::string& where) {
  const nlohmann::json& value = NumberOrNull(row, key, where);
  return value.is_null() ? std::numeric_limits<double>::quiet_NaN() : value.get<double>();
}

double Within(double low, double high, const nlohmann::json& row, const char* key,
              const std::string& where) {
  const double number = Number(row, key, where);
  if (number >= low && number <= high) return number;
  throw StatusError(StatusCode::kCorrupt, fmt::format("{}: {} is to be from {} to {}, got {}",
                                                      where, key, low, high, number));
}

double NotNegative(const nlohmann::json& row, const char* key, const std::string& where) {
  return Within(0, kMostOfAnything, row, key, where);
}

EpochRecord ParseEpoch(const nlohmann::json& row, const std::string& where) {
  EpochRecord record;
  record.epoch = static_cast<int>(Within(1, kMostEpochs, row, "epoch", where));
  record.train_loss = NumberOrNan(row, "train_loss", where);
  record.train_accuracy_percent = NumberOrNan(row, "train_accuracy_percent", where);
  record.test_loss = NumberOrNan(row, "test_loss", where);
  record.test_accuracy_percent = NumberOrNan(row, "test_accuracy_percent", where);
  if (row.contains("test_bits_per_byte")) {
    record.test_bits_per_byte = NumberOrNan(row, "test_bits_per_byte", where);
  }
  record.learning_rate = Number(row, "learning_rate", where);
  record.epoch_s = NotNegative(row, "epoch_s", where);
  record.tx_bytes_per_step = NotNegative(row, "tx_bytes_per_step", where);
  record.means.data_ms = NotNegative(row, "data_ms", where);
  record.means.forward_ms = NotNegative(row, "forward_ms", where);
  record.means.backward_ms = NotNegative(row, "backward_ms", where);
  record.means.exposed_ms = NotNegative(row, "exposed_ms", where);
  record.means.optimizer_ms = NotNegative(row, "optimizer_ms", where);
  return record;
}

EvaluationRecord ParseEvaluation(const nlohmann::json& row, const std::string& where) {
  return {.step = static_cast<uint64_t>(Within(0, kMostSteps, row, "step", where)),
          .train_s = NotNegative(row, "train_s", where),
          .test_loss = NumberOrNan(row, "test_loss", where),
          .test_accuracy_percent = NumberOrNan(row, "test_accuracy_percent", where)};
}

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
    records.push_back(ParseEpoch(row, fmt::format("{}, epoch {}", where, records.size() + 1)));
  }
  return records;
}

TrainingSummary ParseSummary(const nlohmann::json& summary, const std::string& where) {
  RequireKeys(summary, {"compress", "ratio", "dataset", "model", "world_size", "steps"}, where);
  TrainingSummary s;
  s.compress = summary["compress"] == true;
  s.ratio = Within(0, 1, summary, "ratio", where);
  s.dataset = Text(summary, "dataset", where);
  s.model = Text(summary, "model", where);
  s.world_size = static_cast<int>(Within(1, kMostWorkers, summary, "world_size", where));
  s.steps = static_cast<uint64_t>(Within(0, kMostSteps, summary, "steps", where));
  if (!summary.contains("evaluations")) return s;
  for (const nlohmann::json& row : Array(summary, "evaluations", where)) {
    s.evaluations.push_back(
        ParseEvaluation(row, fmt::format("{}, evaluation {}", where, s.evaluations.size() + 1)));
  }
  return s;
}

std::string WhatIsSent(const TrainingSummary& summary) {
  return summary.compress ? fmt::format("top {:.4g}%", 100 * summary.ratio) : "dense";
}

}  // namespace cddp

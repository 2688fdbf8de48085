// The records of a run's metrics.jsonl (metrics_log.h) as the report needs them.
//
// Any thread.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <vector>

namespace cddp {

// Of what lies between the record before and this one, or of the whole epoch.
struct MetricsRecord {
  bool of_epoch = false;       // else of some steps
  uint64_t step = 0;           // of the run, from 1: the last one it is about
  int epoch = 0;               // from 1
  std::optional<double> loss;  // of steps; none when all of them were void
  double step_s = 0;           // mean; of steps
  double tx_bytes_per_step = 0;
  double epoch_s = 0;  // of an epoch
};

// In the order of their steps. Steps that a resumed run took again count once, as they were
// the last time. What stands behind the last line end is left out: a line torn by a kill.
// Throws StatusError: kUnavailable when the file can't be read, kCorrupt naming the line.
std::vector<MetricsRecord> ReadMetrics(const std::filesystem::path& path);

}  // namespace cddp

// Points of `cddp bench sync` that a known model made, and what the tests of the study
// share.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "bench/scaling_points.h"
#include "tests/expect_refusal.h"

namespace cddp {

// A report as `cddp bench sync` writes it. One worker exchanges nothing.
inline nlohmann::json SyncReport(const std::string& collective, int workers, double sync_ms,
                                 double step_ms, double compute_ms, double tx_bytes) {
  return {{"collective", collective},  {"world_size", workers},    {"sync_ms_median", sync_ms},
          {"step_ms_median", step_ms}, {"compute_ms", compute_ms}, {"tx_bytes_per_step", tx_bytes},
          {"parameters", 1'000'000},   {"shapes", "simple_cnn"}};
}

inline SyncPoint Point(const std::string& collective, int workers, double sync_ms, double step_ms,
                       double compute_ms, double tx_bytes) {
  return ParseSyncPoints(SyncReport(collective, workers, sync_ms, step_ms, compute_ms, tx_bytes),
                         collective + " with " + std::to_string(workers))
      .front();
}

struct KnownModel {
  double fixed_ms = 0;
  double latency_ms = 0;
  double ms_per_byte = 0;
  double bytes = 0;  // per volume

  double Bytes(const std::string& collective, int workers) const {
    return bytes * (collective == "gather" ? workers - 1 : 2.0 * (workers - 1) / workers);
  }
  double SyncMs(const std::string& collective, int workers) const {
    return fixed_ms + latency_ms * 2 * (workers - 1) + ms_per_byte * Bytes(collective, workers);
  }
};

// Steps of `compute_ms` and then the exchange, none of it hidden.
inline std::vector<SyncPoint> Points(const std::string& collective, const KnownModel& model,
                                     const std::vector<int>& workers, double compute_ms = 100) {
  std::vector<SyncPoint> points;
  for (int count : workers) {
    const double sync_ms = count == 1 ? 0 : model.SyncMs(collective, count);
    points.push_back(Point(collective, count, sync_ms, compute_ms + sync_ms, compute_ms,
                           model.Bytes(collective, count)));
  }
  return points;
}

}  // namespace cddp

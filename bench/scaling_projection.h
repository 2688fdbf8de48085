// What measured points and their models say about training on P workers: speed-up,
// efficiency, cost. Each worker keeps its batch size (weak scaling).
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "bench/scaling_model.h"

namespace cddp {

struct ScalingSettings {
  int max_workers = 256;           // projected to 2, 4, 8, ... up to this
  int64_t batch_size = 64;         // samples per worker and step, at least 1
  std::optional<int64_t> samples;  // per epoch, at least 1
  std::optional<double> price;     // of a worker for an hour, in any currency, 0 or above
};

// The step of one worker, which speed-ups are relative to.
struct Baseline {
  double step_ms = 0;
  bool projected = false;  // no one-worker point: the median computation alone
};

// The fastest one-worker step of any collective: one worker has nothing to compress. 0 where
// no point has computation: without it one worker has nothing to do.
Baseline BaselineOf(const std::vector<SyncPoint>& points);

struct ScalingRow {
  std::string collective;
  int workers = 1;
  bool projected = false;  // by the model; else medians of the measured points
  double sync_ms = 0;
  double compute_ms = 0;
  double exposed_ms = 0;  // step_ms - compute_ms, not below 0
  double step_ms = 0;
  double tx_bytes_per_step = 0;  // of one worker
  double samples_per_s = 0;      // of all workers

  // Empty when the baseline is 0.
  std::optional<double> speedup;              // samples_per_s over that of one worker
  std::optional<double> efficiency_fraction;  // speedup / workers
  bool speedup_projected = false;             // this row or the baseline is

  // Of a whole epoch of ceil(samples / (workers batch_size)) steps.
  std::optional<double> epoch_hours;
  std::optional<double> cost_per_epoch;  // workers * hours * price

  // Only of projected rows: the largest errors of the model at the most workers that were
  // measured, fitted without them; and the least and the longest step projected by
  // models with any one number of workers left out.
  std::optional<double> held_out_sync_error_percent;
  std::optional<double> held_out_step_error_percent;
  std::optional<double> step_ms_low;
  std::optional<double> step_ms_high;
};

// For each collective its measured rows by workers, then the projected ones, also where
// there is a measured one.
std::vector<ScalingRow> ProjectScaling(const std::vector<CollectiveStudy>& studies,
                                       const Baseline& baseline, const ScalingSettings& settings);

// After bench/amdahl.h, of the most workers that were measured.
struct AmdahlLaw {
  int of_workers = 0;
  double serial_fraction = 0;  // exposed_ms / (compute_ms + exposed_ms)
  // By how much the law of the next fewer workers, whose batch these share, misses their step,
  // which has their exposed_ms and their share of the computation; a magnitude.
  double held_out_step_error_percent = 0;
};

// From the measured rows of a collective with two numbers of workers above 1 or more.
AmdahlLaw AmdahlOf(const std::vector<ScalingRow>& rows, const std::string& collective);

// 2, 4, 8, ... up to max_workers.
std::vector<int> ProjectedWorkers(int max_workers);

}  // namespace cddp

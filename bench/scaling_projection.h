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

// The fastest one-worker step of any collective: one worker has nothing to compress.
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
  std::optional<double> held_out_error_percent;       // of sync_ms
  std::optional<double> held_out_step_error_percent;  // of step_ms
  std::optional<double> step_ms_low;
  std::optional<double> step_ms_high;
};

// For each collective its measured rows by workers, then the projected ones, also where
// there is a measured one.
std::vector<ScalingRow> ProjectScaling(const std::vector<CollectiveStudy>& studies,
                                       const Baseline& baseline, const ScalingSettings& settings);

struct AmdahlFit {
  double serial_fraction = 0;
  // By how much the law, fitted to the others, misses the speed-up of the most workers
  // that were measured; a magnitude.
  double held_out_error_percent = 0;
};

// After bench/amdahl.h from the measured rows of a collective; empty without speed-ups.
std::optional<AmdahlFit> FitAmdahl(const std::vector<ScalingRow>& rows,
                                   const std::string& collective);

// The bandwidth of one worker's link below which this collective synchronises faster than
// dense: fixed times and latencies as fitted, bytes over the bandwidth in place of
// ms_per_byte. In Mbit/s; empty when it is faster at any bandwidth, 0 when it sends no
// fewer bytes: then there is none.
std::optional<double> BreakEvenMbitS(const CollectiveModel& dense, const CollectiveModel& other,
                                     int workers);

// 2, 4, 8, ... up to max_workers.
std::vector<int> ProjectedWorkers(int max_workers);

}  // namespace cddp

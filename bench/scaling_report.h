// The report of `cddp scaling`: as JSON, as CSV, as a table to read.
//
// JSON, times in ms, sizes in bytes:
//   rows         one object per collective and number of workers, measured or projected;
//                keys as in ScalingRow, null where empty: collective, workers, projected
//                (false: every number of the row but those of speed-up was measured),
//                sync_ms, compute_ms, exposed_ms, step_ms, tx_bytes_per_step,
//                samples_per_s, speedup, efficiency_fraction, speedup_projected,
//                epoch_hours, cost_per_epoch, held_out_sync_error_percent,
//                held_out_step_error_percent, step_ms_low, step_ms_high
//   collectives  one object per collective: collective, points (number), link_mbit_s (of
//                their links; null when one does not say it), fixed_ms, latency_ms, ms_per_byte,
//                effective_mbit_s (8 / ms_per_byte; null when that is 0), bytes_per_volume,
//                bytes_per_message, compute_ms, step_offset_ms, volume ("2(P-1)/P" or "P-1"),
//                fitted, held_out, leave_one_out (arrays of workers, projected, sync_ms,
//                predicted_sync_ms, sync_error_percent and the same of step_ms),
//                fit_sync_error_percent, held_out_sync_error_percent, held_out_step_error_percent,
//                leave_one_out_sync_error_percent (null with fewer than four numbers of workers),
//                amdahl (of_workers, the most that were measured, whose batch more workers share;
//                serial_fraction; max_times_as_fast as they, null: unlimited;
//                held_out_step_error_percent; rows of workers, projected, times_as_fast)
//   break_even   one object per compressed collective and number of workers, when dense
//                was measured: collective, workers, projected, above_mbit_s, mbit_s
//                (see FasterThanDense; null: faster on all above), held_out_sync_error_percent (the
//                larger of both models' at the rate of the points' links, null when that is not
//                known)
//   bandwidths   projected steps over bandwidths of a worker's link: collective, workers,
//                mbit_s, projected (true), sync_ms, step_ms, times_as_fast_as_dense (null
//                without dense), held_out_step_error_percent (as in break_even)
//   baseline     step_ms, projected
//   parameters, batch_size, samples, price, points (the measured reports), warnings
#pragma once

#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <vector>

#include "bench/scaling_projection.h"

namespace cddp {

struct ScalingReport {
  std::vector<SyncPoint> points;
  ScalingSettings settings;
  Baseline baseline;
  std::vector<CollectiveStudy> studies;
  std::vector<ScalingRow> rows;
};

// All of the study from the points, which must be comparable: throws as
// RequireComparable does.
ScalingReport MakeScalingReport(const std::vector<SyncPoint>& points,
                                const ScalingSettings& settings);

// The keys of a row, in order.
std::span<const char* const> ScalingColumns();

nlohmann::json ScalingRowsJson(const ScalingReport& report);
nlohmann::json ScalingSummaryJson(const ScalingReport& report);  // all but rows

// The most workers that every collective was measured with.
int MostMeasured(const ScalingReport& report);

// What a reader of the projections must be told, a sentence each.
std::vector<std::string> ScalingWarnings(const ScalingReport& report);

// For the terminal; lines end with '\n'.
std::string ScalingTable(const ScalingReport& report);

}  // namespace cddp

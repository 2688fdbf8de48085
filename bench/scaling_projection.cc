#include "bench/scaling_projection.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <utility>

#include "core/median.h"

namespace cddp {
namespace {

constexpr double kMsPerHour = 3.6e6;

// Fills in what follows from the times.
void Derive(const Baseline& baseline, const ScalingSettings& settings, ScalingRow* row) {
  const double batch = static_cast<double>(settings.batch_size) * row->workers;
  row->samples_per_s = 1000 * batch / row->step_ms;
  row->speedup_projected = row->projected || baseline.projected;
  if (baseline.step_ms > 0) {
    row->efficiency_fraction = baseline.step_ms / row->step_ms;
    row->speedup = row->workers * *row->efficiency_fraction;
  }
  if (!settings.samples) return;
  const double steps = std::ceil(static_cast<double>(*settings.samples) / batch);
  row->epoch_hours = steps * row->step_ms / kMsPerHour;
  if (settings.price) row->cost_per_epoch = row->workers * *row->epoch_hours * *settings.price;
}

ScalingRow MeasuredRow(const std::vector<const SyncPoint*>& repeats) {
  const auto median = [&](double SyncPoint::*member) {
    std::vector<double> values;
    for (const SyncPoint* point : repeats) values.push_back(point->*member);
    return MedianOf(values);
  };
  ScalingRow row{.collective = repeats.front()->collective,
                 .workers = repeats.front()->workers,
                 .sync_ms = median(&SyncPoint::sync_ms),
                 .compute_ms = median(&SyncPoint::compute_ms),
                 .step_ms = median(&SyncPoint::step_ms),
                 .tx_bytes_per_step = median(&SyncPoint::tx_bytes)};
  row.exposed_ms = std::max(0.0, row.step_ms - row.compute_ms);
  return row;
}

ScalingRow ProjectedRow(const CollectiveStudy& study, int workers) {
  const CollectiveModel& model = study.model;
  ScalingRow row{.collective = model.collective,
                 .workers = workers,
                 .projected = true,
                 .sync_ms = model.SyncMs(workers),
                 .compute_ms = model.compute_ms,
                 .exposed_ms = model.ExposedMs(workers),
                 .step_ms = model.StepMs(workers),
                 .tx_bytes_per_step = model.Bytes(workers)};
  row.held_out_sync_error_percent = SyncErrorPercent(study.held_out);
  row.held_out_step_error_percent = StepErrorPercent(study.held_out);
  double low = row.step_ms;
  double high = row.step_ms;
  for (const CollectiveModel& refit : study.refits) {
    low = std::min(low, refit.StepMs(workers));
    high = std::max(high, refit.StepMs(workers));
  }
  row.step_ms_low = low;
  row.step_ms_high = high;
  return row;
}

}  // namespace

std::vector<int> ProjectedWorkers(int max_workers) {
  std::vector<int> counts;
  for (int64_t workers = 2; workers <= max_workers; workers *= 2) {
    counts.push_back(static_cast<int>(workers));
  }
  return counts;
}

Baseline BaselineOf(const std::vector<SyncPoint>& points) {
  std::optional<double> fastest;
  std::vector<double> compute;
  for (const SyncPoint& point : points) {
    compute.push_back(point.compute_ms);
    if (point.workers == 1) fastest = std::min(point.step_ms, fastest.value_or(point.step_ms));
  }
  if (std::ranges::max(compute) == 0) return {};
  if (fastest) return {*fastest, false};
  return {MedianOf(compute), true};
}

std::vector<ScalingRow> ProjectScaling(const std::vector<CollectiveStudy>& studies,
                                       const Baseline& baseline, const ScalingSettings& settings) {
  std::vector<ScalingRow> rows;
  for (const CollectiveStudy& study : studies) {
    std::map<int, std::vector<const SyncPoint*>> measured;
    for (const SyncPoint& point : study.points) measured[point.workers].push_back(&point);
    for (const auto& [workers, repeats] : measured) rows.push_back(MeasuredRow(repeats));
    for (int workers : ProjectedWorkers(settings.max_workers)) {
      rows.push_back(ProjectedRow(study, workers));
    }
  }
  for (ScalingRow& row : rows) Derive(baseline, settings, &row);
  return rows;
}

AmdahlLaw AmdahlOf(const std::vector<ScalingRow>& rows, const std::string& collective) {
  const ScalingRow* fewer = nullptr;
  const ScalingRow* most = nullptr;
  for (const ScalingRow& row : rows) {  // by workers
    if (row.collective != collective || row.projected || row.workers == 1) continue;
    fewer = std::exchange(most, &row);
  }
  const double times = static_cast<double>(most->workers) / fewer->workers;
  const double projected = fewer->compute_ms / times + fewer->exposed_ms;
  const double measured = most->compute_ms / times + most->exposed_ms;
  return {.of_workers = most->workers,
          .serial_fraction = most->exposed_ms / (most->compute_ms + most->exposed_ms),
          .held_out_step_error_percent = 100 * std::abs(projected / measured - 1)};
}

}  // namespace cddp

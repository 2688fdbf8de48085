#include "bench/scaling_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "bench/amdahl.h"
#include "bench/scaling_bandwidth.h"
#include "trainer/json_file.h"

namespace cddp {
namespace {

using Json = nlohmann::json;

constexpr double kFarErrorPercent = 20;  // held out
constexpr int kFarWorkers = 8;           // projected over measured
constexpr double kUnequalCompute = 1.1;  // longest over shortest

Json ToJson(const ScalingRow& row) {
  return {{"collective", row.collective},
          {"workers", row.workers},
          {"projected", row.projected},
          {"sync_ms", row.sync_ms},
          {"compute_ms", row.compute_ms},
          {"exposed_ms", row.exposed_ms},
          {"step_ms", row.step_ms},
          {"tx_bytes_per_step", row.tx_bytes_per_step},
          {"samples_per_s", row.samples_per_s},
          {"speedup", OrNull(row.speedup)},
          {"efficiency_fraction", OrNull(row.efficiency_fraction)},
          {"speedup_projected", row.speedup_projected},
          {"epoch_hours", OrNull(row.epoch_hours)},
          {"cost_per_epoch", OrNull(row.cost_per_epoch)},
          {"held_out_sync_error_percent", OrNull(row.held_out_sync_error_percent)},
          {"held_out_step_error_percent", OrNull(row.held_out_step_error_percent)},
          {"step_ms_low", OrNull(row.step_ms_low)},
          {"step_ms_high", OrNull(row.step_ms_high)}};
}

Json ToJson(const std::vector<ModelledPoint>& points) {
  Json rows = Json::array();
  for (const ModelledPoint& p : points) {
    rows.push_back({{"workers", p.workers},
                    {"projected", true},
                    {"sync_ms", p.sync_ms},
                    {"predicted_sync_ms", p.predicted_sync_ms},
                    {"sync_error_percent", p.sync_error_percent()},
                    {"step_ms", p.step_ms},
                    {"predicted_step_ms", p.predicted_step_ms},
                    {"step_error_percent", p.step_error_percent()}});
  }
  return rows;
}

Json AmdahlJson(const ScalingReport& report, const std::string& collective) {
  const AmdahlLaw law = AmdahlOf(report.rows, collective);
  Json rows = Json::array();
  for (int workers : ProjectedWorkers(report.settings.max_workers)) {
    if (workers <= law.of_workers) continue;
    const double times_workers = static_cast<double>(workers) / law.of_workers;
    rows.push_back({{"workers", workers},
                    {"projected", true},
                    {"times_as_fast", AmdahlSpeedup(law.serial_fraction, times_workers)}});
  }
  return {{"of_workers", law.of_workers},
          {"serial_fraction", law.serial_fraction},
          {"max_times_as_fast", law.serial_fraction > 0 ? Json(1 / law.serial_fraction) : Json()},
          {"held_out_step_error_percent", law.held_out_step_error_percent},
          {"rows", rows}};
}

Json StudyJson(const ScalingReport& report, const CollectiveStudy& study) {
  const CollectiveModel& m = study.model;
  return {{"collective", m.collective},
          {"points", study.points.size()},
          {"link_mbit_s", OrNull(study.link_mbit_s)},
          {"volume", m.law == VolumeLaw::kRing ? "2(P-1)/P" : "P-1"},
          {"fixed_ms", m.fixed_ms},
          {"latency_ms", m.latency_ms},
          {"ms_per_byte", m.ms_per_byte},
          {"effective_mbit_s", m.ms_per_byte > 0 ? Json(m.MbitS()) : Json()},
          {"bytes_per_volume", m.bytes_per_volume},
          {"bytes_per_message", m.bytes_per_message},
          {"compute_ms", m.compute_ms},
          {"step_offset_ms", m.step_offset_ms},
          {"fitted", ToJson(study.fitted)},
          {"fit_sync_error_percent", SyncErrorPercent(study.fitted)},
          {"held_out", ToJson(study.held_out)},
          {"held_out_sync_error_percent", SyncErrorPercent(study.held_out)},
          {"held_out_step_error_percent", StepErrorPercent(study.held_out)},
          {"leave_one_out", ToJson(study.leave_one_out)},
          {"leave_one_out_sync_error_percent",
           study.leave_one_out.empty() ? Json() : Json(SyncErrorPercent(study.leave_one_out))},
          {"amdahl", AmdahlJson(report, m.collective)}};
}

Json BreakEvenJson(const ScalingReport& report) {
  Json rows = Json::array();
  const CollectiveStudy* dense = DenseStudy(report.studies);
  if (dense == nullptr) return rows;
  for (const CollectiveStudy& study : report.studies) {
    if (&study == dense) continue;
    const bool known = dense->link_mbit_s && study.link_mbit_s;
    for (int workers : ProjectedWorkers(report.settings.max_workers)) {
      const LinkRange faster = FasterThanDense(*dense, study, workers);
      rows.push_back(
          {{"collective", study.model.collective},
           {"workers", workers},
           {"projected", true},
           {"above_mbit_s", faster.above},
           {"mbit_s", std::isfinite(faster.below) ? Json(faster.below) : Json()},
           {"held_out_sync_error_percent", known ? Json(std::max(SyncErrorPercent(dense->held_out),
                                                                 SyncErrorPercent(study.held_out)))
                                                 : Json()}});
    }
  }
  return rows;
}

Json BandwidthsJson(const ScalingReport& report) {
  Json rows = Json::array();
  for (const BandwidthRow& row : ProjectBandwidths(report.studies, report.settings.max_workers)) {
    rows.push_back(ToJson(row));
  }
  return rows;
}

}  // namespace

int MostMeasured(const ScalingReport& report) {
  int most = std::numeric_limits<int>::max();
  for (const CollectiveStudy& study : report.studies) {
    most = std::min(most, study.points.back().workers);
  }
  return most;
}

ScalingReport MakeScalingReport(const std::vector<SyncPoint>& points,
                                const ScalingSettings& settings) {
  RequireComparable(points);
  ScalingReport report{.points = points, .settings = settings, .baseline = BaselineOf(points)};
  report.studies = StudyCollectives(points);
  report.rows = ProjectScaling(report.studies, report.baseline, settings);
  return report;
}

std::span<const char* const> ScalingColumns() {
  static constexpr std::array kColumns = {"collective",
                                          "workers",
                                          "projected",
                                          "sync_ms",
                                          "compute_ms",
                                          "exposed_ms",
                                          "step_ms",
                                          "step_ms_low",
                                          "step_ms_high",
                                          "tx_bytes_per_step",
                                          "samples_per_s",
                                          "speedup",
                                          "efficiency_fraction",
                                          "speedup_projected",
                                          "epoch_hours",
                                          "cost_per_epoch",
                                          "held_out_sync_error_percent",
                                          "held_out_step_error_percent"};
  return kColumns;
}

Json ScalingRowsJson(const ScalingReport& report) {
  Json rows = Json::array();
  for (const ScalingRow& row : report.rows) rows.push_back(ToJson(row));
  return rows;
}

Json ScalingSummaryJson(const ScalingReport& report) {
  Json collectives = Json::array();
  for (const CollectiveStudy& study : report.studies) {
    collectives.push_back(StudyJson(report, study));
  }
  Json points = Json::array();
  for (const SyncPoint& point : report.points) points.push_back(point.report);
  const ScalingSettings& settings = report.settings;
  return {{"collectives", collectives},
          {"break_even", BreakEvenJson(report)},
          {"bandwidths", BandwidthsJson(report)},
          {"baseline",
           {{"step_ms", report.baseline.step_ms}, {"projected", report.baseline.projected}}},
          {"parameters", report.points.front().parameters},
          {"batch_size", settings.batch_size},
          {"samples", settings.samples ? Json(*settings.samples) : Json()},
          {"price", OrNull(settings.price)},
          {"points", points},
          {"warnings", ScalingWarnings(report)}};
}

std::vector<std::string> ScalingWarnings(const ScalingReport& report) {
  std::vector<std::string> warnings;
  if (report.baseline.step_ms == 0) {
    warnings.push_back(
        "no computation: there are no speed-ups; measure with --compute-ms, the time of a "
        "worker's backward");
  } else if (report.baseline.projected) {
    warnings.push_back(
        "no point of one worker: speed-ups take its step to be the median computation alone");
  }
  const auto compute = [](const SyncPoint& point) { return point.compute_ms; };
  const auto [shortest, longest] = std::ranges::minmax(report.points, {}, compute);
  if (longest.compute_ms > kUnequalCompute * shortest.compute_ms) {
    warnings.push_back(
        fmt::format("computation differs between points: {:.1f} ms ({}) to {:.1f} ms ({}); do "
                    "workers share cores?",
                    shortest.compute_ms, shortest.source, longest.compute_ms, longest.source));
  }
  for (const CollectiveStudy& study : report.studies) {
    const int most = study.points.back().workers;
    const double error = SyncErrorPercent(study.held_out);
    if (error > kFarErrorPercent) {
      warnings.push_back(
          fmt::format("{}: the model of the other points misses {} workers by {:.0f}%: do not "
                      "trust its projections",
                      study.model.collective, most, error));
    }
  }
  const int measured = MostMeasured(report);
  if (report.settings.max_workers > kFarWorkers * measured) {
    warnings.push_back(
        fmt::format("projected from {} workers: beyond {} only the order of magnitude means "
                    "anything",
                    measured, kFarWorkers * measured));
  }
  return warnings;
}

}  // namespace cddp

#include "bench/scaling_model.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "bench/nonnegative_fit.h"
#include "core/median.h"

namespace cddp {
namespace {

using Points = std::vector<SyncPoint>;

double Volume(VolumeLaw law, int workers) {
  const double others = workers - 1;
  return law == VolumeLaw::kRing ? 2 * others / workers : others;
}

double Messages(int workers) { return 2.0 * (workers - 1); }

// One worker exchanges nothing: it says nothing about the network.
Points Exchanging(const Points& points) {
  Points exchanging;
  std::ranges::copy_if(points, std::back_inserter(exchanging),
                       [](const SyncPoint& point) { return point.workers > 1; });
  return exchanging;
}

std::set<int> WorkerCounts(const Points& points) {
  std::set<int> counts;
  for (const SyncPoint& point : points) counts.insert(point.workers);
  return counts;
}

Points Without(const Points& points, int workers) {
  Points others = points;
  std::erase_if(others, [&](const SyncPoint& point) { return point.workers == workers; });
  return others;
}

// With three points or more one is left over to contradict.
int MaxTerms(const Points& points) {
  const int counts = static_cast<int>(WorkerCounts(points).size());
  return std::max(std::min(counts, 2), counts - 1);
}

void FitBytes(const Points& points, CollectiveModel* model) {
  std::vector<std::vector<double>> rows;
  std::vector<double> bytes;
  const bool frames = model->collective == "split";
  for (const SyncPoint& point : points) {
    rows.push_back({Volume(model->law, point.workers)});
    if (frames) rows.back().push_back(Messages(point.workers));
    bytes.push_back(point.tx_bytes);
  }
  const std::vector<double> fit = FitNonnegative(rows, bytes, std::min(MaxTerms(points), 2));
  model->bytes_per_volume = fit[0];
  model->bytes_per_message = frames ? fit[1] : 0;
}

double BytesError(const Points& points, const CollectiveModel& model) {
  double error = 0;
  for (const SyncPoint& point : points) {
    error += std::pow(model.Bytes(point.workers) / point.tx_bytes - 1, 2);
  }
  return error;
}

void FitTime(const Points& points, CollectiveModel* model) {
  std::vector<std::vector<double>> rows;
  std::vector<double> times;
  // Of terms that explain the points alike the earlier is kept.
  for (const SyncPoint& point : points) {
    rows.push_back({model->Bytes(point.workers)});
    if (model->law == VolumeLaw::kRing) rows.back().push_back(Messages(point.workers));
    rows.back().push_back(1);
    times.push_back(point.sync_ms);
  }
  const int width = static_cast<int>(rows.front().size());
  const std::vector<double> fit = FitNonnegative(rows, times, std::min(MaxTerms(points), width));
  model->ms_per_byte = fit.front();
  model->latency_ms = model->law == VolumeLaw::kRing ? fit[1] : 0;
  model->fixed_ms = fit.back();
}

// Where the exchange hides behind the computation altogether, what was saved is known
// only to be as much as it took.
double StepOffset(const Points& points) {
  std::vector<double> waiting, hidden;
  for (const SyncPoint& point : points) {
    const double exposed = point.step_ms - point.compute_ms;
    (exposed > 0 ? waiting : hidden).push_back(std::max(exposed, 0.0) - point.sync_ms);
  }
  return waiting.empty() ? std::ranges::min(hidden) : MedianOf(waiting);
}

ModelledPoint Predict(const CollectiveModel& model, const SyncPoint& point) {
  return {point.workers, point.sync_ms, model.SyncMs(point.workers), point.step_ms,
          model.StepMs(point.workers)};
}

CollectiveStudy Study(Points points) {
  std::ranges::stable_sort(points, {}, &SyncPoint::workers);
  const Points exchanging = Exchanging(points);
  const std::set<int> counts = WorkerCounts(exchanging);
  CollectiveStudy study{.model = FitCollective(points), .points = points};
  if (std::ranges::all_of(exchanging,
                          [](const SyncPoint& point) { return point.link_mbit_s.has_value(); })) {
    study.link_mbit_s = exchanging.front().link_mbit_s;
  }
  for (const SyncPoint& point : exchanging) study.fitted.push_back(Predict(study.model, point));
  for (int workers : counts) {
    const CollectiveModel refit = FitCollective(Without(exchanging, workers));
    study.refits.push_back(refit);
    for (const SyncPoint& point : exchanging) {
      if (point.workers != workers) continue;
      if (workers == *counts.rbegin()) study.held_out.push_back(Predict(refit, point));
      if (counts.size() >= 4) study.leave_one_out.push_back(Predict(refit, point));
    }
  }
  return study;
}

}  // namespace

double CollectiveModel::Bytes(int workers) const {
  return bytes_per_volume * Volume(law, workers) + bytes_per_message * Messages(workers);
}

double CollectiveModel::SyncMs(int workers) const {
  if (workers == 1) return 0;
  return fixed_ms + latency_ms * Messages(workers) + ms_per_byte * Bytes(workers);
}

double CollectiveModel::ExposedMs(int workers) const {
  return workers == 1 ? 0 : std::max(0.0, SyncMs(workers) + step_offset_ms);
}

CollectiveModel FitCollective(const Points& points) {
  const Points exchanging = Exchanging(points);
  CollectiveModel model{.collective = points.front().collective};
  if (model.collective == "gather") model.law = VolumeLaw::kGather;
  FitBytes(exchanging, &model);
  if (model.collective == "auto") {
    CollectiveModel gather = model;
    gather.law = VolumeLaw::kGather;
    FitBytes(exchanging, &gather);
    if (BytesError(exchanging, gather) < BytesError(exchanging, model)) model = gather;
  }
  FitTime(exchanging, &model);
  std::vector<double> compute;
  for (const SyncPoint& point : exchanging) compute.push_back(point.compute_ms);
  model.compute_ms = MedianOf(compute);
  model.step_offset_ms = StepOffset(exchanging);
  return model;
}

double SyncErrorPercent(const std::vector<ModelledPoint>& points) {
  double worst = 0;
  for (const ModelledPoint& p : points) worst = std::max(worst, std::abs(p.sync_error_percent()));
  return worst;
}

double StepErrorPercent(const std::vector<ModelledPoint>& points) {
  double worst = 0;
  for (const ModelledPoint& p : points) worst = std::max(worst, std::abs(p.step_error_percent()));
  return worst;
}

std::vector<CollectiveStudy> StudyCollectives(const Points& points) {
  std::vector<CollectiveStudy> studies;
  for (const std::string& collective : ScalingCollectives()) {
    Points own;
    std::ranges::copy_if(points, std::back_inserter(own),
                         [&](const SyncPoint& point) { return point.collective == collective; });
    if (!Exchanging(own).empty()) studies.push_back(Study(std::move(own)));
  }
  return studies;
}

const CollectiveStudy* DenseStudy(const std::vector<CollectiveStudy>& studies) {
  const auto it = std::ranges::find_if(
      studies, [](const CollectiveStudy& study) { return study.model.collective == "dense"; });
  return it == studies.end() ? nullptr : &*it;
}

}  // namespace cddp

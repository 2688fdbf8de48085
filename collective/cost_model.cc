#include "collective/cost_model.h"

#include <algorithm>

#include "cddp/frame.h"

namespace cddp {
namespace {

// A mixture must be predicted to be this much faster than the best uniform plan.
constexpr double kMixtureGain = 0.97;

}  // namespace

void Curve::Add(double size, double seconds) {
  // Noise must not make larger messages cheaper.
  if (!points_.empty()) seconds = std::max(seconds, points_.back()[1]);
  points_.push_back({size, seconds});
}

double Curve::At(double size) const {
  if (points_.empty()) return 0;
  if (points_.size() == 1 || size <= points_.front()[0]) return points_.front()[1];
  size_t i = 1;
  while (i + 1 < points_.size() && points_[i][0] < size) ++i;
  const auto& [low, low_seconds] = points_[i - 1];
  const auto& [high, high_seconds] = points_[i];
  return low_seconds + (high_seconds - low_seconds) * (size - low) / (high - low);
}

StageSeconds Predict(const MachineCosts& costs, double owner_budget, const PlannedBucket& bucket,
                     Way way) {
  const double n = bucket.elements;
  const auto k = static_cast<double>(bucket.entries);
  const double ranks = costs.world_size;
  const auto frames = [&](double entries) {
    return (ranks - 1) * (kFrameHeaderBytes + entries * costs.bytes_per_entry);
  };
  const double prepare = n * costs.select_per_element + k * costs.encode_per_entry;
  const double sum = n * costs.sum_per_element;
  switch (way) {
    case Way::kDense:
      return {n * costs.sweep_per_element, costs.dense.At(4 * n) + sum};
    case Way::kGather:
      return {prepare, costs.exchange.At(frames(k)) + ranks * k * costs.decode_per_entry + sum};
    case Way::kSplit: {
      const double sent_on = std::min(owner_budget, ranks) * k;
      const double shard = n / ranks * (costs.select_per_element + costs.sum_per_element) +
                           sent_on / ranks * costs.encode_per_entry;
      return {prepare, costs.exchange.At(frames(k / ranks)) + k * costs.decode_per_entry + shard +
                           costs.exchange.At(frames(sent_on / ranks)) +
                           sent_on * costs.decode_per_entry + sum};
    }
  }
  return {};
}

double StepSeconds(std::span<const StageSeconds> buckets) {
  double prepared = 0;
  double exchanged = 0;
  for (const StageSeconds& bucket : buckets) {
    prepared += bucket.prepare;
    exchanged = std::max(prepared, exchanged) + bucket.exchange;
  }
  return exchanged;
}

std::vector<PredictedPlan> CandidatePlans(const MachineCosts& costs, double owner_budget,
                                          std::span<const PlannedBucket> buckets) {
  std::vector<std::array<StageSeconds, kWays>> predicted;
  for (const PlannedBucket& bucket : buckets) {
    auto& ways = predicted.emplace_back();
    for (size_t w = 0; w < kWays; ++w) {
      ways[w] = Predict(costs, owner_budget, bucket, static_cast<Way>(w));
    }
  }
  std::vector<StageSeconds> stages(buckets.size());
  const auto seconds_of = [&](const std::vector<Way>& ways) {
    for (size_t b = 0; b < ways.size(); ++b) stages[b] = predicted[b][static_cast<size_t>(ways[b])];
    return StepSeconds(stages);
  };

  std::vector<PredictedPlan> candidates;
  for (size_t w = 0; w < kWays; ++w) {
    std::vector<Way> ways(buckets.size(), static_cast<Way>(w));
    const double seconds = seconds_of(ways);
    candidates.push_back({std::move(ways), seconds});
  }
  std::ranges::stable_sort(candidates, {}, &PredictedPlan::seconds);

  // From the best uniform plan on, a bucket at a time.
  PredictedPlan mixture = candidates.front();
  for (size_t b = 0; b < buckets.size(); ++b) {
    for (size_t w = 0; w < kWays; ++w) {
      std::vector<Way> ways = mixture.ways;
      ways[b] = static_cast<Way>(w);
      const double seconds = seconds_of(ways);
      if (seconds < mixture.seconds) mixture = {std::move(ways), seconds};
    }
  }
  if (mixture.seconds < kMixtureGain * candidates.front().seconds) {
    candidates.insert(candidates.begin(), std::move(mixture));
  }
  return candidates;
}

}  // namespace cddp

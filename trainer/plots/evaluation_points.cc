#include "trainer/plots/evaluation_points.h"

#include <algorithm>
#include <cmath>
#include <optional>

namespace cddp {
namespace {

// Steps done after so many seconds of training, when an epoch ended: an evaluation then says it.
std::optional<double> StepsAt(double seconds, const std::vector<EvaluationRecord>& evaluations) {
  for (const EvaluationRecord& evaluation : evaluations) {
    if (std::abs(evaluation.train_s - seconds) > 1e-6 * seconds) continue;
    return static_cast<double>(evaluation.step);
  }
  return std::nullopt;
}

}  // namespace

std::vector<EvaluationPoint> EvaluationPoints(const TrainingSummary& run,
                                              const std::vector<EpochRecord>& history) {
  std::vector<EvaluationPoint> points;
  const double mean_steps = static_cast<double>(run.steps) / static_cast<double>(history.size());
  auto next = run.evaluations.begin();
  EvaluationPoint last_end;
  double steps_before = 0;
  for (const EpochRecord& record : history) {
    const double end_s = last_end.seconds + record.epoch_s;
    const double steps =
        StepsAt(end_s, run.evaluations).value_or(steps_before + mean_steps) - steps_before;
    const EvaluationPoint end = {
        .epoch = static_cast<double>(record.epoch),
        .seconds = end_s,
        .bytes = last_end.bytes + record.tx_bytes_per_step * steps,
        .test_loss = record.test_loss,
        .quality = record.test_bits_per_byte.value_or(record.test_accuracy_percent)};
    const double bits_per_nat = end.quality / end.test_loss;  // of a text
    double latest = last_end.seconds;
    for (; next != run.evaluations.end(); ++next) {
      const double done = static_cast<double>(next->step) - steps_before;  // of this epoch
      if (done >= steps) break;
      if (done <= 0 || next->train_s <= latest || next->train_s >= end.seconds) continue;
      latest = next->train_s;
      points.push_back({.epoch = record.epoch - 1 + done / steps,
                        .seconds = next->train_s,
                        .bytes = last_end.bytes + record.tx_bytes_per_step * done,
                        .test_loss = next->test_loss,
                        .quality = record.test_bits_per_byte ? next->test_loss * bits_per_nat
                                                             : next->test_accuracy_percent});
    }
    points.push_back(end);
    last_end = end;
    steps_before += steps;
  }
  return points;
}

bool AnyWithinEpochs(const std::vector<EvaluationPoint>& points) {
  return std::ranges::any_of(
      points, [](const EvaluationPoint& p) { return p.epoch != std::floor(p.epoch); });
}

}  // namespace cddp

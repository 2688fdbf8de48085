#include "trainer/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <utility>

namespace cddp {
namespace {

// From `from` to `to` in half a cosine, `progress` in [0, 1].
double HalfCosine(double from, double to, double progress) {
  return to + (from - to) * 0.5 * (1.0 + std::cos(std::numbers::pi * progress));
}

// The defaults of OneCycleLR.
double OneCycleFactor(double step, double total) {
  constexpr double kRiseFraction = 0.3;
  constexpr double kFirst = 1.0 / 25;
  constexpr double kLast = kFirst / 1e4;
  const double top = kRiseFraction * total - 1;
  if (step <= top) return HalfCosine(kFirst, 1.0, step / top);
  return HalfCosine(1.0, kLast, (step - top) / (total - 1 - top));
}

}  // namespace

std::vector<std::string> ScheduleNames() { return {"constant", "multistep", "cosine", "onecycle"}; }

RateSchedule::RateSchedule(const TrainOptions& options, int world_size, uint64_t steps_per_epoch)
    : name_(options.schedule),
      start_(options.scale_lr ? options.lr : 0.0),
      peak_(options.scale_lr ? options.lr * world_size * options.accumulate : options.lr),
      gamma_(options.gamma),
      milestones_(options.milestones),
      steps_per_epoch_(steps_per_epoch),
      warmup_steps_(steps_per_epoch * static_cast<uint64_t>(options.lr_warmup_epochs)),
      total_steps_(steps_per_epoch * static_cast<uint64_t>(options.epochs)) {}

double RateSchedule::Rate(uint64_t step) const {
  if (step < warmup_steps_) {
    const double progress = static_cast<double>(step + 1) / static_cast<double>(warmup_steps_);
    return start_ + (peak_ - start_) * progress;
  }
  return peak_ * Factor(step);
}

double RateSchedule::Factor(uint64_t step) const {
  if (name_ == "multistep") {
    const auto epochs_behind = static_cast<int64_t>(step / steps_per_epoch_);
    const auto passed =
        std::ranges::count_if(milestones_, [&](int m) { return m <= epochs_behind; });
    return std::pow(gamma_, static_cast<double>(passed));
  }
  if (name_ == "cosine") {
    return HalfCosine(1.0, 0.0,
                      static_cast<double>(step - warmup_steps_) /
                          static_cast<double>(total_steps_ - warmup_steps_));
  }
  if (name_ == "onecycle") {
    return OneCycleFactor(static_cast<double>(step), static_cast<double>(total_steps_));
  }
  return 1.0;
}

double WarmUpRatio(const TrainOptions& options, int epoch, uint64_t step) {
  constexpr double kFirst = 0.25;
  const double ratio = options.ratio;
  if (std::cmp_less(step, options.warmup_steps) && ratio < kFirst) {
    return kFirst * std::pow(ratio / kFirst, static_cast<double>(step) / options.warmup_steps);
  }
  if (epoch > options.warmup_epochs) return ratio;
  return std::pow(ratio, static_cast<double>(epoch) / (options.warmup_epochs + 1));
}

}  // namespace cddp

// What the CPU's Top-K knows of a parameter's k-th largest magnitude from step to step, and the
// threshold that it tries next. What is selected does not depend on it, only how much work it is.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>

#include "core/threshold_forecast.h"

namespace cddp {

// The lowest that the k-th magnitude has been in the last steps, less what it went below that
// lately. Where it goes to and fro, as between the levels of quantised entries, that is much
// closer than what a forecast by its changes has to allow for.
class RecentMinimum {
 public:
  // Zero as long as too little is known.
  float Next() const {
    constexpr float kMargin = 0.004f;
    return steps_ < kWindow ? 0.0f : Lowest() * std::exp(-3 * below_ - kMargin);
  }

  // `value` is finite and not negative.
  void Update(float value) {
    if (steps_ >= kWindow) {
      const float lowest = Lowest();
      const bool fell = 0 < value && value < lowest;
      below_ = std::max(0.95f * below_, fell ? std::log(lowest) - std::log(value) : 0.0f);
    }
    values_[steps_++ % kWindow] = value;
  }

 private:
  static constexpr size_t kWindow = 16;

  float Lowest() const { return *std::ranges::min_element(values_); }

  std::array<float, kWindow> values_{};
  size_t steps_ = 0;
  float below_ = 0;  // of its logarithm
};

// What is known of a parameter. The forecast needs a second sweep more seldom, so it counts
// unless it lets many more through.
struct KthMagnitude {
  float Next() const {
    constexpr float kFarBelow = 0.8f;
    const float next = forecast.Next();
    return next < kFarBelow * minimum.Next() ? minimum.Next() : next;
  }
  void Update(float value) {
    forecast.Update(value);
    minimum.Update(value);
  }

  ThresholdForecast forecast{};
  RecentMinimum minimum;
};

}  // namespace cddp

// The k-th largest magnitude of a parameter from step to step, for the CPU's Top-K and the
// GPU's. Its relative change is tracked by its mean and mean deviation, as TCP tracks
// round-trip times (Jacobson, SIGCOMM 1988): the threshold is as far below the expected
// magnitude as changes make necessary, and no farther. The mean follows fast: while a
// memory fills, magnitudes grow by half from one step to the next, and then less and less.
//
// What is selected does not depend on it, only how much work it is.
#pragma once

#include <cfloat>
#include <cmath>
#include <cstdint>

#include "core/host_device.h"

namespace cddp {

// All zero: nothing is known.
struct ThresholdForecast {
  bool known;
  float last;
  float mean;
  float deviation;

  // The magnitude to try in the next step. Requires known.
  CDDP_HOST_DEVICE float Next() const {
    constexpr float kDeviations = 4.0f;
    constexpr float kMinMargin = 0.004f;
    constexpr float kMaxMargin = 2.0f;
    const float margin = kDeviations * deviation + kMinMargin;
    const float next = last * expf(fmaxf(mean - margin, -kMaxMargin));
    return fminf(next, FLT_MAX);
  }

  // `value` is finite and not negative.
  CDDP_HOST_DEVICE void Update(float value) {
    constexpr float kFirstDeviation = 0.01f;
    if (!known) {
      deviation = kFirstDeviation;
    } else if (value > 0 && last > 0) {
      // Logarithms apart: the quotient may overflow. Bounded: so mean and deviation stay finite.
      const float change = fminf(fmaxf(logf(value) - logf(last), -20.0f), 20.0f);
      deviation += (fabsf(change - mean) - deviation) / 4;
      mean += (change - mean) / 2;
    }
    known = true;
    last = value;
  }
};

}  // namespace cddp

// The scale of the loss in fp16 training, which keeps small gradients from becoming 0
// (Micikevicius et al. 2018, section 3.2; constants as torch.cuda.amp.GradScaler).
//
// Scales are powers of two, so that scaling and unscaling change no bit of a gradient
// that fits. The engine unscales gradients before any memory sees them
// (DdpEngine::BeginStep): a change of scale does not disturb residuals. A gradient that
// overflowed makes the step void, which every rank learns alike: so all have the same
// scale without talking about it. One thread.
#pragma once

#include <cstdint>

#include "cddp/collective.h"

namespace cddp {

class LossScaler {
 public:
  // What a checkpoint keeps.
  struct State {
    double scale = 65536.0;
    uint64_t committed = 0;  // steps in a row at this scale

    bool operator==(const State&) const = default;
  };

  static constexpr uint64_t kGrowthInterval = 2000;

  double scale() const { return state_.scale; }

  // After each step: halves the scale after a void one, doubles it after
  // kGrowthInterval committed ones in a row, up to 2^24.
  void Update(StepOutcome outcome) {
    if (outcome == StepOutcome::kVoid) {
      state_ = {.scale = state_.scale / 2, .committed = 0};
    } else if (++state_.committed == kGrowthInterval) {
      state_ = {.scale = state_.scale < kLargest ? state_.scale * 2 : kLargest, .committed = 0};
    }
  }

  const State& state() const { return state_; }
  void set_state(const State& state) { state_ = state; }

 private:
  static constexpr double kLargest = 16'777'216.0;
  State state_;
};

}  // namespace cddp

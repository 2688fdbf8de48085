#include <cmath>

#include "cddp/memory.h"
#include "core/keyed_memory.h"
#include "core/sweep.h"

namespace cddp {
namespace {

class DgcSlot final : public Accumulation {
 public:
  explicit DgcSlot(size_t elements)
      : residual_(elements),
        velocity_(elements),
        next_residual_(elements),
        next_velocity_(elements) {}

  const AlignedFloats& Part(size_t i) const { return i == 0 ? residual_ : velocity_; }
  AlignedFloats& Part(size_t i) { return i == 0 ? residual_ : velocity_; }

  static constexpr bool kEmptyWhenWhole = false;  // the velocity stays

  void Start(std::span<const float> gradient, const MemoryOptions& options) {
    Begin(gradient);
    rule_ = {.momentum = static_cast<float>(options.momentum),
             .nesterov = options.nesterov,
             .masking = options.momentum_masking};
    if (options.clip_norm > 0) {
      const double norm = std::sqrt(SumOfSquares(gradient));
      // A norm that is not finite is left to the sweep to find.
      if (std::isfinite(norm) && norm > options.clip_norm) {
        rule_.scale = static_cast<float>(options.clip_norm / norm);
      }
    }
  }

  void Swap() {
    residual_.swap(next_residual_);
    velocity_.swap(next_velocity_);
  }

  void Settle(uint32_t base, std::span<const uint32_t> indices, std::span<const float> taken,
              std::span<const float> decoded) {
    Put(indices, base, next_residual_, [&](size_t i) { return taken[i] - decoded[i]; });
  }

  void TakeOut(std::span<const uint32_t> indices, float* values) override {
    for (size_t i = 0; i < indices.size(); ++i) {
      values[i] = std::exchange(next_residual_[indices[i]], 0.0f);
    }
    MaskVelocity(indices.data(), indices.size());
  }

  void TakeAll(float* values) override {
    std::ranges::copy(Values(), values);
    std::ranges::fill(next_residual_, 0.0f);  // the velocity stays
  }

  void SweepAll(float* values) {
    AccumulateMomentum(gradient_, rule_,
                       {velocity_.data(), residual_.data(), next_velocity_.data(), values},
                       /*stream=*/false, kTakeNothing, 0, {});
    std::ranges::fill(next_residual_, 0.0f);
  }

  void PutBack(std::span<const uint32_t> indices, std::span<const float> values) override {
    Put(indices, 0, next_residual_, [&](size_t i) { return values[i]; });
    if (!rule_.masking) return;
    // The sweep may have cleared it; this computes it again, to the bit.
    for (const uint32_t i : indices) {
      next_velocity_[i] = rule_.momentum * velocity_[i] + rule_.scale * gradient_[i];
    }
  }

  float Peek(size_t i) const override {
    float velocity = 0;
    float residual = 0;
    scalar::AccumulateMomentum(gradient_.subspan(i, 1), rule_,
                               {velocity_.data() + i, residual_.data() + i, &velocity, &residual},
                               kTakeNothing, 0, {.indices = nullptr, .values = nullptr});
    return residual;
  }

 private:
  Swept DoSweep(Pass pass, size_t begin, size_t count, uint32_t threshold, Entries out) override {
    const auto base = static_cast<uint32_t>(begin);
    if (pass == Pass::kAgain) {
      const Swept swept =
          TakeAtLeast(std::span(next_residual_).subspan(begin, count), threshold, base, out);
      MaskVelocity(out.indices, swept.taken);
      return swept;
    }
    const MomentumState state{velocity_.data() + begin, residual_.data() + begin,
                              next_velocity_.data() + begin, next_residual_.data() + begin};
    const bool stream = size() >= kStreamElements;
    const Swept swept = AccumulateMomentum(gradient_.subspan(begin, count), rule_, state, stream,
                                           threshold, base, out);
    if (stream) FlushStreamed();
    return swept;
  }

  void MaskVelocity(const uint32_t* indices, size_t count) {
    if (!rule_.masking) return;
    for (size_t i = 0; i < count; ++i) next_velocity_[indices[i]] = 0.0f;
  }

  std::span<const float> SweptValues() const override { return next_residual_; }

  MomentumRule rule_;
  AlignedFloats residual_;
  AlignedFloats velocity_;
  AlignedFloats next_residual_;
  AlignedFloats next_velocity_;
};

}  // namespace

std::unique_ptr<Memory> MakeDgcMemory(const MemoryOptions& options) {
  MemoryOptions dgc = options;
  dgc.name = "dgc";
  return std::make_unique<KeyedMemory<DgcSlot>>(dgc);
}

}  // namespace cddp

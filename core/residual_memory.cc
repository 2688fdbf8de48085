#include "cddp/memory.h"
#include "core/keyed_memory.h"
#include "core/sweep.h"

namespace cddp {
namespace {

class ResidualSlot final : public Accumulation {
 public:
  explicit ResidualSlot(size_t elements) : residual_(elements), next_(elements) {}

  const AlignedFloats& Part(size_t) const { return residual_; }
  AlignedFloats& Part(size_t) { return residual_; }

  static constexpr bool kEmptyWhenWhole = true;

  void Start(std::span<const float> gradient, const MemoryOptions&) { Begin(gradient); }
  void Swap() { residual_.swap(next_); }

  void Settle(uint32_t base, std::span<const uint32_t> indices, std::span<const float> taken,
              std::span<const float> decoded) {
    Put(indices, base, next_, [&](size_t i) { return taken[i] - decoded[i]; });
  }

  void TakeOut(std::span<const uint32_t> indices, float* values) override {
    for (size_t i = 0; i < indices.size(); ++i) {
      values[i] = std::exchange(next_[indices[i]], 0.0f);
    }
  }

  void TakeAll(float* values) override {
    std::ranges::copy(Values(), values);
    std::ranges::fill(next_, 0.0f);
  }

  void SweepAll(float* values) {
    AccumulateResidual(gradient_, residual_.data(), values, /*stream=*/false, kTakeNothing, 0, {});
    std::ranges::fill(next_, 0.0f);
  }

  void PutBack(std::span<const uint32_t> indices, std::span<const float> values) override {
    Put(indices, 0, next_, [&](size_t i) { return values[i]; });
  }

  float Peek(size_t i) const override { return gradient_[i] + residual_[i]; }

 private:
  Swept DoSweep(Pass pass, size_t begin, size_t count, uint32_t threshold, Entries out) override {
    const auto base = static_cast<uint32_t>(begin);
    if (pass == Pass::kAgain) {
      return TakeAtLeast(std::span(next_).subspan(begin, count), threshold, base, out);
    }
    const bool stream = size() >= kStreamElements;
    const Swept swept =
        AccumulateResidual(gradient_.subspan(begin, count), residual_.data() + begin,
                           next_.data() + begin, stream, threshold, base, out);
    if (stream) FlushStreamed();
    return swept;
  }

  std::span<const float> SweptValues() const override { return next_; }

  AlignedFloats residual_;
  AlignedFloats next_;  // becomes the residual on Commit
};

}  // namespace

std::unique_ptr<Memory> MakeResidualMemory() {
  return std::make_unique<KeyedMemory<ResidualSlot>>(MemoryOptions{.name = "residual"});
}

}  // namespace cddp

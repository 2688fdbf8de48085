#include <algorithm>
#include <array>
#include <bit>

#include "core/sweep.h"

namespace cddp::scalar {
namespace {

uint32_t Magnitude(float value) { return std::bit_cast<uint32_t>(value) & kMagnitudeMask; }

// Visits value i; returns true when it was taken.
bool Visit(float value, size_t i, uint32_t threshold, uint32_t base, Entries out, Swept* swept) {
  const uint32_t magnitude = Magnitude(value);
  swept->largest = std::max(swept->largest, magnitude);
  if (magnitude < threshold) return false;
  out.indices[swept->taken] = base + static_cast<uint32_t>(i);
  out.values[swept->taken] = value;
  ++swept->taken;
  return true;
}

}  // namespace

Swept CompactAtLeast(std::span<const float> values, uint32_t threshold, uint32_t base,
                     Entries out) {
  Swept swept;
  for (size_t i = 0; i < values.size(); ++i) Visit(values[i], i, threshold, base, out, &swept);
  return swept;
}

Swept TakeAtLeast(std::span<float> values, uint32_t threshold, uint32_t base, Entries out) {
  Swept swept;
  for (size_t i = 0; i < values.size(); ++i) {
    if (Visit(values[i], i, threshold, base, out, &swept)) values[i] = 0.0f;
  }
  return swept;
}

Swept AccumulateResidual(std::span<const float> gradient, const float* old, float* next,
                         uint32_t threshold, uint32_t base, Entries out) {
  Swept swept;
  for (size_t i = 0; i < gradient.size(); ++i) {
    const float sum = gradient[i] + old[i];
    next[i] = Visit(sum, i, threshold, base, out, &swept) ? 0.0f : sum;
  }
  return swept;
}

Swept AccumulateMomentum(std::span<const float> gradient, const MomentumRule& rule,
                         const MomentumState& state, uint32_t threshold, uint32_t base,
                         Entries out) {
  Swept swept;
  for (size_t i = 0; i < gradient.size(); ++i) {
    const float g = rule.scale * gradient[i];
    const float velocity = rule.momentum * state.velocity_old[i] + g;
    const float update = rule.nesterov ? rule.momentum * velocity + g : velocity;
    const float sum = state.residual_old[i] + update;
    const bool taken = Visit(sum, i, threshold, base, out, &swept);
    state.velocity_next[i] = taken && rule.masking ? 0.0f : velocity;
    state.residual_next[i] = taken ? 0.0f : sum;
  }
  return swept;
}

size_t PartEntries(Entries entries, size_t count, uint32_t threshold, uint32_t base, Entries kept,
                   Entries dropped) {
  size_t keep = 0;
  size_t drop = 0;
  for (size_t i = 0; i < count; ++i) {
    const uint32_t index = entries.indices[i];
    const float value = entries.values[i];
    if (Magnitude(value) >= threshold) {
      kept.indices[keep] = base + index;
      kept.values[keep++] = value;
    } else {
      dropped.indices[drop] = index;
      dropped.values[drop++] = value;
    }
  }
  return keep;
}

Between CompactBetween(std::span<const float> values, uint32_t low, uint32_t high, uint32_t* out) {
  Between between;
  for (float value : values) {
    const uint32_t magnitude = Magnitude(value);
    if (magnitude > high) {
      ++between.above;
    } else if (magnitude >= low) {
      out[between.within++] = magnitude;
    }
  }
  return between;
}

bool AllFinite(std::span<const float> values) {
  return std::ranges::all_of(values, [](float v) { return Magnitude(v) < kInfinityBits; });
}

bool Divide(std::span<const float> values, float divisor, float* out) {
  bool finite = true;
  for (size_t i = 0; i < values.size(); ++i) {
    out[i] = values[i] / divisor;
    finite &= Magnitude(out[i]) < kInfinityBits;
  }
  return finite;
}

}  // namespace cddp::scalar

namespace cddp {

// One body for all targets: lanes of its own, added up in order.
double SumOfSquares(std::span<const float> values) {
  constexpr size_t kLanes = 16;
  std::array<double, kLanes> sums{};
  size_t i = 0;
  for (; i + kLanes <= values.size(); i += kLanes) {
    for (size_t lane = 0; lane < kLanes; ++lane) {
      const auto value = static_cast<double>(values[i + lane]);
      sums[lane] += value * value;
    }
  }
  double sum = 0;
  for (double lane : sums) sum += lane;
  for (; i < values.size(); ++i) {
    sum += static_cast<double>(values[i]) * static_cast<double>(values[i]);
  }
  return sum;
}

}  // namespace cddp

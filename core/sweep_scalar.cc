#include <bit>

#include "core/sweep.h"

namespace cddp::scalar {

namespace {
uint32_t Magnitude(float value) { return std::bit_cast<uint32_t>(value) & kMagnitudeMask; }
}  // namespace

bool AddFinite(std::span<const float> a, std::span<const float> b, std::span<float> out) {
  bool finite = true;
  for (size_t i = 0; i < a.size(); ++i) {
    out[i] = a[i] + b[i];
    finite &= Magnitude(out[i]) < kInfinityBits;
  }
  return finite;
}

bool AllFinite(std::span<const float> values) {
  bool finite = true;
  for (float value : values) finite &= Magnitude(value) < kInfinityBits;
  return finite;
}

size_t CountAtLeast(std::span<const float> values, uint32_t threshold) {
  size_t count = 0;
  for (float value : values) count += Magnitude(value) >= threshold;
  return count;
}

size_t CompactAtLeast(std::span<const float> values, uint32_t threshold, uint32_t base,
                      uint32_t* indices, float* out) {
  size_t count = 0;
  for (size_t i = 0; i < values.size(); ++i) {
    if (Magnitude(values[i]) < threshold) continue;
    indices[count] = base + static_cast<uint32_t>(i);
    out[count] = values[i];
    ++count;
  }
  return count;
}

}  // namespace cddp::scalar

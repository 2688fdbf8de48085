// SIMD bodies of sweep.h, compiled once per target by Highway.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/sweep.cc"
#include "core/sweep.h"

// Order matters: foreach_target must come before highway.h.
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace cddp {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

using Floats = hn::ScalableTag<float>;
// Magnitudes fit 31 bits, so they compare as signed numbers; Highway 1.0 has no
// unsigned comparison on every target.
using Words = hn::ScalableTag<int32_t>;

constexpr int32_t kMask = static_cast<int32_t>(kMagnitudeMask);
constexpr int32_t kInfinity = static_cast<int32_t>(kInfinityBits);

// Both loops keep the largest magnitude seen: it is at least that of infinity
// exactly when some element is not finite.
bool AddFiniteBody(const float* a, const float* b, float* out, size_t n) {
  const Floats f;
  const Words u;
  const size_t lanes = hn::Lanes(f);
  const auto mask = hn::Set(u, kMask);
  auto largest = hn::Zero(u);
  size_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    const auto sum = hn::Add(hn::LoadU(f, a + i), hn::LoadU(f, b + i));
    hn::StoreU(sum, f, out + i);
    largest = hn::Max(largest, hn::And(hn::BitCast(u, sum), mask));
  }
  bool finite = hn::AllTrue(u, hn::Lt(largest, hn::Set(u, kInfinity)));
  finite &= scalar::AddFinite({a + i, n - i}, {b + i, n - i}, {out + i, n - i});
  return finite;
}

bool AllFiniteBody(const float* values, size_t n) {
  const Floats f;
  const Words u;
  const size_t lanes = hn::Lanes(f);
  const auto mask = hn::Set(u, kMask);
  auto largest = hn::Zero(u);
  size_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    largest = hn::Max(largest, hn::And(hn::BitCast(u, hn::LoadU(f, values + i)), mask));
  }
  const bool finite = hn::AllTrue(u, hn::Lt(largest, hn::Set(u, kInfinity)));
  return finite && scalar::AllFinite({values + i, n - i});
}

size_t CountAtLeastBody(const float* values, size_t n, uint32_t threshold) {
  const Words u;
  const Floats f;
  const size_t lanes = hn::Lanes(u);
  const auto mask = hn::Set(u, kMask);
  const auto below = hn::Set(u, static_cast<int32_t>(threshold) - 1);
  size_t count = 0;
  size_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    const auto magnitude = hn::And(hn::BitCast(u, hn::LoadU(f, values + i)), mask);
    count += hn::CountTrue(u, hn::Gt(magnitude, below));
  }
  return count + scalar::CountAtLeast({values + i, n - i}, threshold);
}

size_t CompactAtLeastBody(const float* values, size_t n, uint32_t threshold, uint32_t base,
                          uint32_t* indices, float* out) {
  const Words u;
  const Floats f;
  const size_t lanes = hn::Lanes(u);
  const auto mask = hn::Set(u, kMask);
  const auto below = hn::Set(u, static_cast<int32_t>(threshold) - 1);
  const hn::ScalableTag<uint32_t> x;
  const auto step = hn::Set(x, static_cast<uint32_t>(lanes));
  auto index = hn::Iota(x, base);
  size_t count = 0;
  size_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    const auto value = hn::LoadU(f, values + i);
    const auto chosen = hn::Gt(hn::And(hn::BitCast(u, value), mask), below);
    if (!hn::AllFalse(u, chosen)) {
      hn::CompressStore(value, hn::RebindMask(f, chosen), f, out + count);
      count += hn::CompressStore(index, hn::RebindMask(x, chosen), x, indices + count);
    }
    index = hn::Add(index, step);
  }
  return count + scalar::CompactAtLeast({values + i, n - i}, threshold,
                                        base + static_cast<uint32_t>(i), indices + count,
                                        out + count);
}

const char* TargetName() { return hwy::TargetName(HWY_TARGET); }

}  // namespace HWY_NAMESPACE
}  // namespace cddp
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace cddp {

HWY_EXPORT(AddFiniteBody);
HWY_EXPORT(AllFiniteBody);
HWY_EXPORT(CountAtLeastBody);
HWY_EXPORT(CompactAtLeastBody);
HWY_EXPORT(TargetName);

bool AddFinite(std::span<const float> a, std::span<const float> b, std::span<float> out) {
  return HWY_DYNAMIC_DISPATCH(AddFiniteBody)(a.data(), b.data(), out.data(), a.size());
}

bool AllFinite(std::span<const float> values) {
  return HWY_DYNAMIC_DISPATCH(AllFiniteBody)(values.data(), values.size());
}

size_t CountAtLeast(std::span<const float> values, uint32_t threshold) {
  return HWY_DYNAMIC_DISPATCH(CountAtLeastBody)(values.data(), values.size(), threshold);
}

size_t CompactAtLeast(std::span<const float> values, uint32_t threshold, uint32_t base,
                      uint32_t* indices, float* out) {
  return HWY_DYNAMIC_DISPATCH(CompactAtLeastBody)(values.data(), values.size(), threshold, base,
                                                  indices, out);
}

const char* SweepTarget() { return HWY_DYNAMIC_DISPATCH(TargetName)(); }

}  // namespace cddp
#endif  // HWY_ONCE

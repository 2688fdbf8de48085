// SIMD bodies of sweep.h, compiled once per target by Highway.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/sweep.cc"
#include "core/sweep.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>

// Order matters: foreach_target must come before highway.h.
#include <hwy/cache_control.h>
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
using Indices = hn::ScalableTag<uint32_t>;
using Vector = hn::Vec<Floats>;

// Elements that are swept before what is taken of them is written out: few enough to be in
// the nearest cache still.
constexpr size_t kBlock = 1024;

// What all sweeps that take entries share. In the sweep itself, what is taken is only a bit,
// so that nothing in it is hard to predict; the entries follow block by block.
class Taker {
 public:
  HWY_INLINE Taker(uint32_t threshold, uint32_t base, Entries out)
      : mask_(hn::Set(Words(), static_cast<int32_t>(kMagnitudeMask))),
        // kTakeNothing becomes the largest number, which no magnitude exceeds.
        below_(hn::Set(Words(), static_cast<int32_t>(threshold - 1))),
        largest_(hn::Zero(Words())),
        base_(base),
        out_(out) {}

  // The next elements; tells which are taken.
  HWY_INLINE hn::Mask<Floats> Visit(Vector value) {
    const auto magnitude = hn::And(hn::BitCast(Words(), value), mask_);
    largest_ = hn::Max(largest_, magnitude);
    const auto taken = hn::Gt(magnitude, below_);
    Append(taken);
    return hn::RebindMask(Floats(), taken);
  }

  // Writes the entries of what was visited since the last time, elements from `begin` on, at
  // most kBlock; value_at(i) is the value of element i.
  template <typename ValueAt>
  HWY_INLINE void Write(size_t begin, ValueAt value_at) {
    *end_ = static_cast<uint8_t>(partial_);  // of fewer than 8 elements
    uint8_t* const end = end_ + (filled_ > 0);
    std::fill(end, bits_ + (end - bits_ + 7) / 8 * 8, uint8_t{0});
    for (const uint8_t* from = bits_; from < end; from += sizeof(uint64_t), begin += 64) {
      uint64_t word;
      std::memcpy(&word, from, sizeof(word));
      for (; word != 0; word &= word - 1) {
        const size_t i = begin + static_cast<size_t>(std::countr_zero(word));
        out_.indices[count_] = base_ + static_cast<uint32_t>(i);
        out_.values[count_++] = value_at(i);
      }
    }
    end_ = bits_;
    partial_ = 0;
    filled_ = 0;
  }

  // Where the scalar sweep goes on.
  HWY_INLINE Entries rest() const { return {out_.indices + count_, out_.values + count_}; }
  HWY_INLINE Swept Join(const Swept& tail) const {
    const auto largest = hn::GetLane(hn::MaxOfLanes(Words(), largest_));
    return {count_ + tail.taken, std::max(static_cast<uint32_t>(largest), tail.largest)};
  }

 private:
  HWY_INLINE void Append(hn::Mask<Words> taken) {
    if constexpr (hn::MaxLanes(Words()) >= 8) {
      end_ += hn::StoreMaskBits(Words(), taken, end_);
    } else {
      uint8_t bits[8];
      hn::StoreMaskBits(Words(), taken, bits);
      partial_ |= (bits[0] & ((1u << hn::Lanes(Words())) - 1)) << filled_;
      filled_ += static_cast<unsigned>(hn::Lanes(Words()));
      if (filled_ < 8) return;
      *end_++ = static_cast<uint8_t>(partial_);
      partial_ = 0;
      filled_ = 0;
    }
  }

  const hn::Vec<Words> mask_;
  const hn::Vec<Words> below_;
  hn::Vec<Words> largest_;
  const uint32_t base_;
  Entries out_;
  size_t count_ = 0;
  alignas(64) uint8_t bits_[kBlock / 8 + 8];
  uint8_t* end_ = bits_;
  // Bits that do not make a byte yet, where vectors are short.
  uint32_t partial_ = 0;
  unsigned filled_ = 0;
};

// Calls sweep(i) for each whole vector of n elements, from element i on, and writes what
// was taken. Returns where the rest begins.
template <typename Sweep, typename ValueAt>
HWY_INLINE size_t SweepVectors(size_t n, Taker* taker, Sweep sweep, ValueAt value_at) {
  const size_t lanes = hn::Lanes(Floats());
  const size_t whole = n / lanes * lanes;
  for (size_t begin = 0; begin < whole; begin += kBlock) {
    const size_t end = std::min(begin + kBlock, whole);
    for (size_t i = begin; i < end; i += lanes) sweep(i);
    taker->Write(begin, value_at);
  }
  return whole;
}

Swept CompactAtLeastBody(const float* values, size_t n, uint32_t threshold, uint32_t base,
                         Entries out) {
  Taker taker(threshold, base, out);
  const size_t i = SweepVectors(
      n, &taker, [&](size_t at) HWY_ATTR { taker.Visit(hn::LoadU(Floats(), values + at)); },
      [&](size_t at) { return values[at]; });
  return taker.Join(scalar::CompactAtLeast({values + i, n - i}, threshold,
                                           base + static_cast<uint32_t>(i), taker.rest()));
}

Swept TakeAtLeastBody(float* values, size_t n, uint32_t threshold, uint32_t base, Entries out) {
  Taker taker(threshold, base, out);
  const size_t i = SweepVectors(
      n, &taker, [&](size_t at) HWY_ATTR { taker.Visit(hn::LoadU(Floats(), values + at)); },
      [&](size_t at) { return std::exchange(values[at], 0.0f); });
  return taker.Join(scalar::TakeAtLeast({values + i, n - i}, threshold,
                                        base + static_cast<uint32_t>(i), taker.rest()));
}

// Ahead of the sweep by 1.5 KiB, with which the loads of a sweep past the cache took
// 7% less time than with the processor's own prefetching.
HWY_INLINE void PrefetchAhead(const float* from) { hwy::Prefetch(from + 384); }

template <bool kStream>
HWY_INLINE void Write(Vector value, float* to) {
  if constexpr (kStream) {
    hn::Stream(value, Floats(), to);
  } else {
    hn::StoreU(value, Floats(), to);
  }
}

template <bool kStream>
HWY_INLINE Swept ResidualLoop(const float* gradient, size_t n, const float* old, float* next,
                              uint32_t threshold, uint32_t base, Entries out) {
  const Floats f;
  Taker taker(threshold, base, out);
  const size_t i = SweepVectors(
      n, &taker,
      [&](size_t at) HWY_ATTR {
        PrefetchAhead(gradient + at);
        PrefetchAhead(old + at);
        const auto sum = hn::Add(hn::LoadU(f, gradient + at), hn::LoadU(f, old + at));
        Write<kStream>(hn::IfThenZeroElse(taker.Visit(sum), sum), next + at);
      },
      [&](size_t at) { return gradient[at] + old[at]; });
  return taker.Join(scalar::AccumulateResidual({gradient + i, n - i}, old + i, next + i, threshold,
                                               base + static_cast<uint32_t>(i), taker.rest()));
}

Swept AccumulateResidualBody(const float* gradient, size_t n, const float* old, float* next,
                             bool stream, uint32_t threshold, uint32_t base, Entries out) {
  return stream ? ResidualLoop<true>(gradient, n, old, next, threshold, base, out)
                : ResidualLoop<false>(gradient, n, old, next, threshold, base, out);
}

template <bool kStream, bool kNesterov>
HWY_INLINE Swept MomentumLoop(const float* gradient, size_t n, const MomentumRule& rule,
                              const MomentumState& state, uint32_t threshold, uint32_t base,
                              Entries out) {
  const Floats f;
  const auto momentum = hn::Set(f, rule.momentum);
  const auto scale = hn::Set(f, rule.scale);
  const bool masking = rule.masking;
  Taker taker(threshold, base, out);
  const size_t i = SweepVectors(
      n, &taker,
      [&](size_t at) HWY_ATTR {
        PrefetchAhead(gradient + at);
        PrefetchAhead(state.velocity_old + at);
        PrefetchAhead(state.residual_old + at);
        // Products and sums apart: a fused one would round differently from the scalar.
        const auto g = hn::Mul(scale, hn::LoadU(f, gradient + at));
        const auto velocity = hn::Add(hn::Mul(momentum, hn::LoadU(f, state.velocity_old + at)), g);
        auto update = velocity;
        if constexpr (kNesterov) update = hn::Add(hn::Mul(momentum, velocity), g);
        const auto sum = hn::Add(hn::LoadU(f, state.residual_old + at), update);
        const auto taken = taker.Visit(sum);
        Write<kStream>(hn::IfThenZeroElse(taken, sum), state.residual_next + at);
        Write<kStream>(masking ? hn::IfThenZeroElse(taken, velocity) : velocity,
                       state.velocity_next + at);
      },
      // Once more: what was stored may be past the cache, and zero.
      [&](size_t at) {
        const float g = rule.scale * gradient[at];
        const float velocity = rule.momentum * state.velocity_old[at] + g;
        return state.residual_old[at] + (kNesterov ? rule.momentum * velocity + g : velocity);
      });
  const MomentumState rest{state.velocity_old + i, state.residual_old + i, state.velocity_next + i,
                           state.residual_next + i};
  return taker.Join(scalar::AccumulateMomentum({gradient + i, n - i}, rule, rest, threshold,
                                               base + static_cast<uint32_t>(i), taker.rest()));
}

Swept AccumulateMomentumBody(const float* gradient, size_t n, const MomentumRule& rule,
                             const MomentumState& state, bool stream, uint32_t threshold,
                             uint32_t base, Entries out) {
  if (rule.nesterov) {
    return stream ? MomentumLoop<true, true>(gradient, n, rule, state, threshold, base, out)
                  : MomentumLoop<false, true>(gradient, n, rule, state, threshold, base, out);
  }
  return stream ? MomentumLoop<true, false>(gradient, n, rule, state, threshold, base, out)
                : MomentumLoop<false, false>(gradient, n, rule, state, threshold, base, out);
}

size_t PartEntriesBody(Entries entries, size_t count, uint32_t threshold, uint32_t base,
                       Entries kept, Entries dropped) {
  const Floats f;
  const Words u;
  const Indices x;
  const auto mask = hn::Set(u, static_cast<int32_t>(kMagnitudeMask));
  const auto below = hn::Set(u, static_cast<int32_t>(threshold - 1));
  const auto bases = hn::Set(x, base);
  size_t keep = 0;
  size_t i = 0;
  for (; i + hn::Lanes(f) <= count; i += hn::Lanes(f)) {
    const auto value = hn::LoadU(f, entries.values + i);
    const auto index = hn::LoadU(x, entries.indices + i);
    const auto chosen = hn::Gt(hn::And(hn::BitCast(u, value), mask), below);
    if (HWY_LIKELY(hn::AllTrue(u, chosen))) {
      hn::StoreU(value, f, kept.values + keep);
      hn::StoreU(hn::Add(index, bases), x, kept.indices + keep);
      keep += hn::Lanes(f);
      continue;
    }
    const auto rest = hn::Not(chosen);
    hn::StoreU(hn::Compress(value, hn::RebindMask(f, rest)), f, dropped.values + (i - keep));
    hn::StoreU(hn::Compress(index, hn::RebindMask(x, rest)), x, dropped.indices + (i - keep));
    hn::StoreU(hn::Compress(value, hn::RebindMask(f, chosen)), f, kept.values + keep);
    hn::StoreU(hn::Compress(hn::Add(index, bases), hn::RebindMask(x, chosen)), x,
               kept.indices + keep);
    keep += hn::CountTrue(u, chosen);
  }
  const size_t drop = i - keep;
  return keep + scalar::PartEntries({entries.indices + i, entries.values + i}, count - i, threshold,
                                    base, {kept.indices + keep, kept.values + keep},
                                    {dropped.indices + drop, dropped.values + drop});
}

Between CompactBetweenBody(const float* values, size_t n, uint32_t low, uint32_t high,
                           uint32_t* out) {
  const Floats f;
  const Words u;
  const auto mask = hn::Set(u, static_cast<int32_t>(kMagnitudeMask));
  const auto below = hn::Set(u, static_cast<int32_t>(low - 1));
  const auto highest = hn::Set(u, static_cast<int32_t>(high));
  Between between;
  size_t i = 0;
  for (; i + hn::Lanes(f) <= n; i += hn::Lanes(f)) {
    const auto magnitude = hn::And(hn::BitCast(u, hn::LoadU(f, values + i)), mask);
    const auto above = hn::Gt(magnitude, highest);
    between.above += hn::CountTrue(u, above);
    const auto within = hn::AndNot(above, hn::Gt(magnitude, below));
    between.within +=
        hn::CompressStore(hn::BitCast(Indices(), magnitude), hn::RebindMask(Indices(), within),
                          Indices(), out + between.within);
  }
  const Between tail = scalar::CompactBetween({values + i, n - i}, low, high, out + between.within);
  return {between.above + tail.above, between.within + tail.within};
}

bool AllFiniteBody(const float* values, size_t n) {
  const Floats f;
  const Words u;
  const auto mask = hn::Set(u, static_cast<int32_t>(kMagnitudeMask));
  auto largest = hn::Zero(u);
  size_t i = 0;
  for (; i + hn::Lanes(f) <= n; i += hn::Lanes(f)) {
    largest = hn::Max(largest, hn::And(hn::BitCast(u, hn::LoadU(f, values + i)), mask));
  }
  const bool finite =
      hn::AllTrue(u, hn::Lt(largest, hn::Set(u, static_cast<int32_t>(kInfinityBits))));
  return finite && scalar::AllFinite({values + i, n - i});
}

template <bool kStream>
HWY_INLINE bool DivideLoop(const float* values, size_t n, float divisor, float* out) {
  const Floats f;
  const Words u;
  const auto divisors = hn::Set(f, divisor);
  const auto mask = hn::Set(u, static_cast<int32_t>(kMagnitudeMask));
  auto largest = hn::Zero(u);
  size_t i = 0;
  for (; i + hn::Lanes(f) <= n; i += hn::Lanes(f)) {
    const auto quotient = hn::Div(hn::LoadU(f, values + i), divisors);
    largest = hn::Max(largest, hn::And(hn::BitCast(u, quotient), mask));
    Write<kStream>(quotient, out + i);
  }
  const bool finite =
      hn::AllTrue(u, hn::Lt(largest, hn::Set(u, static_cast<int32_t>(kInfinityBits))));
  return scalar::Divide({values + i, n - i}, divisor, out + i) && finite;
}

bool DivideBody(const float* values, size_t n, float divisor, float* out, bool stream) {
  return stream ? DivideLoop<true>(values, n, divisor, out)
                : DivideLoop<false>(values, n, divisor, out);
}

const char* TargetName() { return hwy::TargetName(HWY_TARGET); }

}  // namespace HWY_NAMESPACE
}  // namespace cddp
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace cddp {

HWY_EXPORT(CompactAtLeastBody);
HWY_EXPORT(TakeAtLeastBody);
HWY_EXPORT(AccumulateResidualBody);
HWY_EXPORT(AccumulateMomentumBody);
HWY_EXPORT(PartEntriesBody);
HWY_EXPORT(CompactBetweenBody);
HWY_EXPORT(AllFiniteBody);
HWY_EXPORT(DivideBody);
HWY_EXPORT(TargetName);

Swept CompactAtLeast(std::span<const float> values, uint32_t threshold, uint32_t base,
                     Entries out) {
  return HWY_DYNAMIC_DISPATCH(CompactAtLeastBody)(values.data(), values.size(), threshold, base,
                                                  out);
}

Swept TakeAtLeast(std::span<float> values, uint32_t threshold, uint32_t base, Entries out) {
  return HWY_DYNAMIC_DISPATCH(TakeAtLeastBody)(values.data(), values.size(), threshold, base, out);
}

Swept AccumulateResidual(std::span<const float> gradient, const float* old, float* next,
                         bool stream, uint32_t threshold, uint32_t base, Entries out) {
  return HWY_DYNAMIC_DISPATCH(AccumulateResidualBody)(gradient.data(), gradient.size(), old, next,
                                                      stream, threshold, base, out);
}

Swept AccumulateMomentum(std::span<const float> gradient, const MomentumRule& rule,
                         const MomentumState& state, bool stream, uint32_t threshold, uint32_t base,
                         Entries out) {
  return HWY_DYNAMIC_DISPATCH(AccumulateMomentumBody)(gradient.data(), gradient.size(), rule, state,
                                                      stream, threshold, base, out);
}

void FlushStreamed() { hwy::FlushStream(); }

size_t PartEntries(Entries entries, size_t count, uint32_t threshold, uint32_t base, Entries kept,
                   Entries dropped) {
  return HWY_DYNAMIC_DISPATCH(PartEntriesBody)(entries, count, threshold, base, kept, dropped);
}

Between CompactBetween(std::span<const float> values, uint32_t low, uint32_t high, uint32_t* out) {
  return HWY_DYNAMIC_DISPATCH(CompactBetweenBody)(values.data(), values.size(), low, high, out);
}

bool AllFinite(std::span<const float> values) {
  return HWY_DYNAMIC_DISPATCH(AllFiniteBody)(values.data(), values.size());
}

bool Divide(std::span<const float> values, float divisor, float* out, bool stream) {
  return HWY_DYNAMIC_DISPATCH(DivideBody)(values.data(), values.size(), divisor, out, stream);
}

const char* SweepTarget() { return HWY_DYNAMIC_DISPATCH(TargetName)(); }

}  // namespace cddp
#endif

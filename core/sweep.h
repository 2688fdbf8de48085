// Sweeps over a parameter's elements, the hot loops of selection and memory.
// Each has a SIMD body, chosen for the processor at run time (Highway: SSE4,
// AVX2, AVX-512, NEON), and a scalar one in `scalar::` that says what it must
// compute, bit for bit.
//
// A sweep that takes entries out writes index + base and value of each element
// whose magnitude is at least `threshold` to `out`, in index order, and returns
// how many. Magnitude means the bits of |v| as an unsigned number: see
// selection.h. With kTakeNothing it takes none. A threshold of an accumulating sweep
// is no NaN's: what payload a sum has the processor decides.
//
// Results that are too many for the cache are written past it (streaming stores),
// which needs no read of what they replace. Their readers on other threads need a
// FlushStreamed() of the thread that swept.
//
// Thread safety: functions without state.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "cddp/accumulation.h"

namespace cddp {

inline constexpr uint32_t kMagnitudeMask = 0x7fffffffu;
inline constexpr uint32_t kInfinityBits = 0x7f800000u;
inline constexpr uint32_t kTakeNothing = 0x80000000u;

// Results of at least so many elements, 4 MiB, are worth writing past the cache.
inline constexpr size_t kStreamElements = size_t{1} << 20;

// How AccumulateMomentum turns a gradient into a velocity.
struct MomentumRule {
  float momentum = 0.9f;
  bool nesterov = false;
  float scale = 1.0f;   // of the gradient, before all else
  bool masking = true;  // the velocity becomes zero where an entry was taken
};

// Where a parameter's velocity and residual lie, before and after a step.
struct MomentumState {
  const float* velocity_old;
  const float* residual_old;
  float* velocity_next;
  float* residual_next;
};

// What is accumulated is read again after it was written: `next` must be none of the other
// arrays, unless nothing is taken.

// Leaves `values` as they are.
Swept CompactAtLeast(std::span<const float> values, uint32_t threshold, uint32_t base, Entries out);

// Leaves zero where an entry was taken.
Swept TakeAtLeast(std::span<float> values, uint32_t threshold, uint32_t base, Entries out);

// next = gradient + old, and zero where an entry was taken. `stream` needs `next`
// aligned to 64 bytes.
Swept AccumulateResidual(std::span<const float> gradient, const float* old, float* next,
                         bool stream, uint32_t threshold, uint32_t base, Entries out);

// velocity = momentum * velocity_old + scale * gradient
// residual = residual_old + velocity                               (plain)
// residual = residual_old + (momentum * velocity + scale * gradient)  (Nesterov)
// and zero where an entry was taken, as the velocity with masking. `stream` as above.
Swept AccumulateMomentum(std::span<const float> gradient, const MomentumRule& rule,
                         const MomentumState& state, bool stream, uint32_t threshold, uint32_t base,
                         Entries out);

void FlushStreamed();

// Of `count` entries: those whose magnitude is at least `threshold` go to `kept`,
// with `base` added to the index, the others to `dropped`, both in order. Returns
// how many are kept. `kept` may be `entries`; `kept` and `dropped` need room for
// count + kPadding.
size_t PartEntries(Entries entries, size_t count, uint32_t threshold, uint32_t base, Entries kept,
                   Entries dropped);

struct Between {
  size_t above = 0;   // magnitudes above `high`
  size_t within = 0;  // magnitudes in [low, high]
};

// Writes the magnitudes in [low, high] to `out`, in order; room as for entries. Both
// are at most kMagnitudeMask.
Between CompactBetween(std::span<const float> values, uint32_t low, uint32_t high, uint32_t* out);

// True when every value is finite.
bool AllFinite(std::span<const float> values);

// out = values / divisor, where `out` may be `values`; true when every result is finite.
// `stream` as above, of `out`.
bool Divide(std::span<const float> values, float divisor, float* out, bool stream);

// In double precision, the same on every target.
double SumOfSquares(std::span<const float> values);

// Name of the instruction set in use, such as "AVX3".
const char* SweepTarget();

namespace scalar {
Swept CompactAtLeast(std::span<const float> values, uint32_t threshold, uint32_t base, Entries out);
Swept TakeAtLeast(std::span<float> values, uint32_t threshold, uint32_t base, Entries out);
Swept AccumulateResidual(std::span<const float> gradient, const float* old, float* next,
                         uint32_t threshold, uint32_t base, Entries out);
Swept AccumulateMomentum(std::span<const float> gradient, const MomentumRule& rule,
                         const MomentumState& state, uint32_t threshold, uint32_t base,
                         Entries out);
size_t PartEntries(Entries entries, size_t count, uint32_t threshold, uint32_t base, Entries kept,
                   Entries dropped);
Between CompactBetween(std::span<const float> values, uint32_t low, uint32_t high, uint32_t* out);
bool AllFinite(std::span<const float> values);
bool Divide(std::span<const float> values, float divisor, float* out);
}  // namespace scalar

}  // namespace cddp

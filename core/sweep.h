// Sweeps over a parameter's elements, the hot loops of selection and memory.
// Each has a SIMD body, chosen for the processor at run time (Highway), and a
// scalar one in `scalar::` that says what it must compute, bit for bit.
//
// Magnitude means the bits of |v| as an unsigned number: see selection.h.
// Thread safety: functions without state.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace cddp {

inline constexpr uint32_t kMagnitudeMask = 0x7fffffffu;
inline constexpr uint32_t kInfinityBits = 0x7f800000u;

// CompactAtLeast may write this many elements past the last result.
inline constexpr size_t kCompactPadding = 64;

// out[i] = a[i] + b[i]. True when every result is finite. out may be a or b.
bool AddFinite(std::span<const float> a, std::span<const float> b, std::span<float> out);

// True when every value is finite.
bool AllFinite(std::span<const float> values);

// Number of elements whose magnitude is at least `threshold`.
size_t CountAtLeast(std::span<const float> values, uint32_t threshold);

// Writes index + base and value of each element whose magnitude is at least
// `threshold`, in index order; returns how many. Both arrays must have room for
// that many plus kCompactPadding.
size_t CompactAtLeast(std::span<const float> values, uint32_t threshold, uint32_t base,
                      uint32_t* indices, float* out);

// Name of the instruction set in use, such as "AVX3".
const char* SweepTarget();

namespace scalar {
bool AddFinite(std::span<const float> a, std::span<const float> b, std::span<float> out);
bool AllFinite(std::span<const float> values);
size_t CountAtLeast(std::span<const float> values, uint32_t threshold);
size_t CompactAtLeast(std::span<const float> values, uint32_t threshold, uint32_t base,
                      uint32_t* indices, float* out);
}  // namespace scalar

}  // namespace cddp

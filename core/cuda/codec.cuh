// What encoding and decoding on the device share: codes of gaps as in core/rice.cc, values as
// in core/value_codec.cc, to the bit.
#pragma once

#include <cfloat>
#include <cstddef>
#include <cstdint>

#include "cddp/frame.h"
#include "core/runs.h"

namespace cddp::cuda {

// As in core/rice.cc.
constexpr unsigned kParameterBits = 5;
constexpr unsigned kHeadBits = kParameterBits + 1;
constexpr unsigned kWidthBits = 5;
constexpr unsigned kMaxParameter = 31;
constexpr unsigned kClustersEscape = 4;
constexpr unsigned kMaxCodeBits = 48;

struct BlockCode {
  unsigned parameter;
  unsigned escape;
  unsigned width;

  __device__ bool clusters() const { return escape == kClustersEscape; }
  __device__ unsigned head_bits() const { return clusters() ? kHeadBits + kWidthBits : kHeadBits; }
};

__device__ inline BlockCode Plain(unsigned parameter) { return {parameter, 16, 32}; }
__device__ inline BlockCode Clusters(unsigned parameter, unsigned width) {
  return {parameter, kClustersEscape, width};
}

constexpr uint32_t kSign = 0x80000000u;
constexpr uint32_t kLargest16 = 0x7f7f;

__device__ inline uint32_t MagnitudeBits(float value) { return __float_as_uint(value) & ~kSign; }
__device__ inline float FromBf16(uint32_t half) { return __uint_as_float(half << 16); }
__device__ inline uint32_t ToBf16(uint32_t magnitude) {
  return min((magnitude + 0x7fff + (magnitude >> 16 & 1)) >> 16, kLargest16);
}
__device__ inline uint32_t ToBf16Up(uint32_t magnitude) {
  return min((magnitude + 0xffff) >> 16, kLargest16);
}
__device__ inline uint32_t ToBf16Down(uint32_t magnitude) { return magnitude >> 16; }

// As std::min and std::max: of zeros of both signs, the first.
__device__ inline float Lesser(float a, float b) { return b < a ? b : a; }
__device__ inline float Greater(float a, float b) { return a < b ? b : a; }

__device__ inline float Int8Value(int32_t code, float step, float most) {
  return Greater(-most, Lesser(static_cast<float>(code) * step, most));
}
__device__ inline float Int4Magnitude(float level, float lo, float step, float hi) {
  return Lesser(lo + level * step, hi);
}

template <int kBytes>
__device__ void StoreBytes(std::byte* to, uint32_t word) {
#pragma unroll
  for (int i = 0; i < kBytes; ++i) to[i] = static_cast<std::byte>(word >> (8 * i) & 0xff);
}
template <int kBytes>
__device__ uint32_t LoadBytes(const std::byte* from) {
  uint32_t word = 0;
#pragma unroll
  for (int i = 0; i < kBytes; ++i) word |= static_cast<uint32_t>(from[i]) << (8 * i);
  return word;
}

// Calls launch.template operator()<kFormat>() for a format that CodesOnDevice.
template <typename Launch>
void ForValues(ValueFormat format, Launch launch) {
  switch (format) {
    case ValueFormat::kBf16:
      return launch.template operator()<ValueFormat::kBf16>();
    case ValueFormat::kInt8:
      return launch.template operator()<ValueFormat::kInt8>();
    case ValueFormat::kInt4:
      return launch.template operator()<ValueFormat::kInt4>();
    default:
      return launch.template operator()<ValueFormat::kFp32>();
  }
}

}  // namespace cddp::cuda

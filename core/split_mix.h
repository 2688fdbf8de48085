// SplitMix64 (Steele, Lea, Flood, OOPSLA 2014, Fast splittable pseudorandom number generators):
// the n-th number of a seed is SplitMix64(seed + n * kSplitMixGamma), on every platform and on a
// GPU.
#pragma once

#include <cstdint>

#include "core/host_device.h"

namespace cddp {

inline constexpr uint64_t kSplitMixGamma = 0x9e3779b97f4a7c15ull;

CDDP_HOST_DEVICE constexpr uint64_t SplitMix64(uint64_t state) {
  state = (state ^ (state >> 30)) * 0xbf58476d1ce4e5b9ull;
  state = (state ^ (state >> 27)) * 0x94d049bb133111ebull;
  return state ^ (state >> 31);
}

// The number of `key` at `counter`, from 0, as one in [0, 1), of 24 bits.
CDDP_HOST_DEVICE inline float Chance(uint64_t key, uint64_t counter) {
  return static_cast<float>(SplitMix64(key + (counter + 1) * kSplitMixGamma) >> 40) * 0x1p-24f;
}

}  // namespace cddp

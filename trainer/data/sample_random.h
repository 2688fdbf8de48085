// The random numbers of one sample in one epoch.
#pragma once

#include <cstdint>

#include "core/split_mix.h"

namespace cddp {

// SplitMix64 started from a hash of (seed, epoch, number): cheap enough to be started anew
// for each sample. The sequence is the same on every platform.
class SampleRandom {
 public:
  SampleRandom(uint64_t seed, uint64_t epoch, uint64_t number)
      : state_(Hash(Hash(Hash(seed) + epoch) + number)) {}

  // From 0 to limit - 1, for 0 < limit < 2^32; uneven by less than limit / 2^64.
  uint32_t Below(uint64_t limit) {
    state_ += kSplitMixGamma;
    __extension__ using Wide = unsigned __int128;
    return static_cast<uint32_t>((Wide{SplitMix64(state_)} * limit) >> 64);
  }

 private:
  static constexpr uint64_t Hash(uint64_t value) { return SplitMix64(value + kSplitMixGamma); }

  uint64_t state_;
};

}  // namespace cddp

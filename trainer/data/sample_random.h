// The random numbers of one sample in one epoch.
#pragma once

#include <cstdint>

namespace cddp {

// SplitMix64 (Steele, Lea, Flood 2014, Fast splittable pseudorandom number generators),
// started from a hash of (seed, epoch, number): cheap enough to be started anew for
// each sample. The sequence is the same on every platform.
class SampleRandom {
 public:
  SampleRandom(uint64_t seed, uint64_t epoch, uint64_t number)
      : state_(Mix(Mix(Mix(seed + kGamma) + epoch + kGamma) + number + kGamma)) {}

  // From 0 to limit - 1, for 0 < limit < 2^32; uneven by less than limit / 2^64.
  uint32_t Below(uint64_t limit) {
    state_ += kGamma;
    __extension__ using Wide = unsigned __int128;
    return static_cast<uint32_t>((Wide{Mix(state_)} * limit) >> 64);
  }

 private:
  static constexpr uint64_t kGamma = 0x9e3779b97f4a7c15;

  static constexpr uint64_t Mix(uint64_t z) {
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
  }

  uint64_t state_;
};

}  // namespace cddp

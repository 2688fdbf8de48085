// SplitMix64: the tests' random numbers, the same on every platform.
#pragma once

#include <cmath>
#include <cstdint>

namespace cddp {

class RandomBits {
 public:
  explicit RandomBits(uint64_t seed) : state_(seed) {}

  uint64_t operator()() {
    uint64_t z = (state_ += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
  }

  // In [0, bound).
  uint64_t Below(uint64_t bound) { return (*this)() % bound; }

  // In [-1, 1).
  float Uniform() { return std::ldexp(static_cast<float>(static_cast<int32_t>((*this)())), -31); }

  // Gradient-like: many small values, few large ones.
  float Gradient() {
    const int exponent = -static_cast<int>(Below(12));
    return std::ldexp(Uniform(), exponent);
  }

 private:
  uint64_t state_;
};

}  // namespace cddp

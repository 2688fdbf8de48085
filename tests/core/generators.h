// Values for the property tests. A case is a short recipe (pattern, seed,
// length), so that a failing one prints in a line and shrinks fast.
#pragma once

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <ostream>
#include <span>
#include <sstream>
#include <vector>

#include "tests/core/random_bits.h"

namespace cddp {

enum class Pattern {
  kUniform,
  kCluster,  // equal in the high bits of the magnitude
  kFewDistinct,
  kAllEqual,
  kAscending,
  kDescending,
  kSignedZeros,
  kDenormals,
  kSparse,  // mostly zero
  kHuge,    // finite, but not the sum of two of one sign
  kRawFinite,
  kWithNonFinite,  // the last: all before it are finite
};

struct Recipe {
  Pattern pattern = Pattern::kUniform;
  uint32_t seed = 0;
  size_t length = 0;
};

inline std::ostream& operator<<(std::ostream& os, const Recipe& recipe) {
  return os << "pattern " << static_cast<int>(recipe.pattern) << ", seed " << recipe.seed
            << ", length " << recipe.length;
}

inline float OneValue(Pattern pattern, RandomBits& bits) {
  const auto word = static_cast<uint32_t>(bits());
  const uint32_t sign = word & 0x80000000u;
  switch (pattern) {
    case Pattern::kCluster:
      return std::bit_cast<float>(sign | 0x3f800000u | (word & 0x7ffu));
    case Pattern::kFewDistinct:
      return static_cast<float>(static_cast<int>(word % 7) - 3);
    case Pattern::kSignedZeros:
      return std::bit_cast<float>(sign);
    case Pattern::kDenormals:
      return std::bit_cast<float>(word & 0x807fffffu);
    case Pattern::kSparse:
      return word % 16 == 0 ? static_cast<float>(word >> 20) : 0.0f;
    case Pattern::kHuge:
      return std::bit_cast<float>(sign | 0x7f000000u | (word & 0x7fffffu));
    case Pattern::kRawFinite: {
      const auto value = std::bit_cast<float>(word);
      return std::isfinite(value) ? value : std::bit_cast<float>(sign | 0x7f7fffffu);
    }
    case Pattern::kWithNonFinite:
      // Quiet and signalling NaNs with different payloads, and both infinities.
      if (word % 4 == 0) return std::bit_cast<float>(sign | 0x7f800000u | (word >> 9 & 0x400007u));
      return std::bit_cast<float>(word);
    default:
      return bits.Uniform();
  }
}

inline std::vector<float> ValuesOf(const Recipe& recipe) {
  RandomBits bits(recipe.seed);
  std::vector<float> values(recipe.length);
  for (float& value : values) value = OneValue(recipe.pattern, bits);
  if (recipe.pattern == Pattern::kAllEqual && !values.empty()) {
    std::fill(values.begin(), values.end(), values[0]);
  }
  if (recipe.pattern == Pattern::kAscending) std::sort(values.begin(), values.end());
  if (recipe.pattern == Pattern::kDescending) std::sort(values.rbegin(), values.rend());
  return values;
}

inline rc::Gen<Recipe> Recipes(size_t shortest, size_t longest, Pattern last) {
  return rc::gen::apply(
      [](int pattern, uint32_t seed, size_t length) {
        return Recipe{static_cast<Pattern>(pattern), seed, length};
      },
      // Not inRange alone: its range grows with the size, and small cases would know few patterns.
      rc::gen::resize(100, rc::gen::inRange(0, static_cast<int>(last) + 1)),
      rc::gen::resize(100, rc::gen::arbitrary<uint32_t>()),
      rc::gen::inRange(shortest, longest + 1));
}

inline bool SameBits(std::span<const float> a, std::span<const float> b) {
  return a.size() == b.size() &&
         (a.empty() || std::memcmp(a.data(), b.data(), a.size_bytes()) == 0);
}

constexpr int Cases(int cases) { return std::max(1, cases / CDDP_CASE_DIVISOR); }

// Checks `property` on so many cases; RC_PARAMS may choose another seed.
template <typename Property>
::testing::AssertionResult HoldsFor(int cases, Property property) {
  rc::detail::TestParams params = rc::detail::configuration().testParams;
  params.maxSuccess = cases;
  const auto result = rc::detail::checkTestable(property, rc::detail::TestMetadata(), params);
  if (result.template is<rc::detail::SuccessResult>()) return ::testing::AssertionSuccess();
  std::ostringstream message;
  rc::detail::printResultMessage(result, message);
  return ::testing::AssertionFailure() << message.str();
}

}  // namespace cddp

#include "collective/sparse_sum.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <limits>
#include <vector>

namespace cddp {
namespace {

constexpr float kLargest = std::numeric_limits<float>::max();

// Every seventh element or so, other ones in each part, and both ends.
std::vector<Selection> PartsOf(size_t elements, size_t parts) {
  std::vector<Selection> made(parts);
  for (size_t p = 0; p < parts; ++p) {
    for (size_t i = p % 2; i < elements; i += 1 + (i * 2654435761u >> 7) % (13 - p)) {
      made[p].indices.push_back(static_cast<uint32_t>(i));
      made[p].values.push_back(static_cast<float>(i % 1000) * 0.37f -
                               100.0f * static_cast<float>(p));
    }
  }
  return made;
}

TEST(SparseSum, IsTheMeanInTheOrderOfTheParts) {
  SparseSum sum;
  for (size_t elements : {0, 1, 16'383, 16'384, 16'385, 50'000}) {
    for (size_t parts : {0, 1, 2, 3, 7}) {
      const std::vector<Selection> made = PartsOf(elements, parts);
      std::vector<float> want(elements, 0.0f);
      for (const Selection& part : made) {
        for (size_t e = 0; e < part.size(); ++e) want[part.indices[e]] += part.values[e];
      }
      for (float& value : want) value /= 3.0f;
      std::vector<float> got(elements, std::numeric_limits<float>::quiet_NaN());
      EXPECT_TRUE(sum.Into(made, 3.0f, got));
      EXPECT_EQ(got, want) << elements << " elements, " << parts << " parts";
    }
  }
}

TEST(SparseSum, TellsWhatIsNotFinite) {
  SparseSum sum;
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  std::vector<float> got(40'000);
  const auto finite = [&](uint32_t at, float first, float second, float divisor) {
    const std::vector<Selection> parts{{{at}, {first}}, {{at}, {second}}};
    return sum.Into(parts, divisor, got);
  };
  for (uint32_t at : {0u, 16'383u, 16'384u, 39'999u}) {
    EXPECT_TRUE(finite(at, kLargest, -kLargest, 2)) << at;
    EXPECT_FALSE(finite(at, kLargest, kLargest, 2)) << "the sum overflows at " << at;
    EXPECT_FALSE(finite(at, 1, -kInfinity, 2)) << at;
    EXPECT_FALSE(finite(at, std::numeric_limits<float>::quiet_NaN(), 1, 1)) << at;
    EXPECT_TRUE(finite(at, 1, 1, 2)) << "nothing is left of the call before, at " << at;
  }
}

}  // namespace
}  // namespace cddp

// From a ratio to a number of entries.
#include <gtest/gtest.h>

#include <limits>

#include "cddp/compressor.h"
#include "cddp/selection.h"

namespace cddp {
namespace {

TEST(Selection, RatioGivesK) {
  struct Case {
    size_t elements;
    double ratio;
    size_t k;
  };
  for (const Case& c : {
           Case{0, 0.5, 0},
           Case{0, 1.0, 0},
           Case{1, 1e-12, 1},
           Case{1, 0.5, 1},
           Case{1, 1.0, 1},
           Case{2, 0.5, 1},
           Case{3, 0.5, 2},
           Case{10, 0.01, 1},
           Case{100, 0.01, 1},
           Case{101, 0.01, 2},
           Case{199, 0.01, 2},
           Case{200, 0.01, 2},
           Case{201, 0.01, 3},
           // In floating point these products lie a little above the integer.
           Case{100, 0.07, 7},
           Case{100, 0.14, 14},
           Case{100, 0.28, 28},
           Case{100, 0.29, 29},
           Case{1000, 0.001, 1},
           Case{3, 1.0 / 3.0, 1},
           Case{3000, 1.0 / 3.0, 1000},
           Case{10, 0.1 + 0.2, 3},
           // And these are honestly above it.
           Case{100, 0.0701, 8},
           Case{1000000, 0.0000011, 2},
           Case{1000000, 1e-300, 1},
           Case{1000000, std::numeric_limits<double>::denorm_min(), 1},
           Case{1000000, 0.999999, 999999},
           Case{1000000, 0.9999991, 1000000},
           Case{10000000, 0.01, 100000},
           Case{4294967295u, 1.0, 4294967295u},
       }) {
    EXPECT_EQ(SelectionCount(c.elements, c.ratio), c.k)
        << c.elements << " elements at ratio " << c.ratio;
  }
}

TEST(Selection, RatioOfEveryPercentage) {
  for (size_t percent = 1; percent <= 100; ++percent) {
    for (size_t elements = 1; elements <= 1000; ++elements) {
      const size_t want = (elements * percent + 99) / 100;
      ASSERT_EQ(SelectionCount(elements, static_cast<double>(percent) / 100.0), want)
          << percent << "% of " << elements;
    }
  }
}

TEST(Selection, InvalidRatioRejected) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  for (double ratio : {0.0, -0.0, -0.01, -1.0, 1.0000001, 2.0, 100.0, kInfinity, -kInfinity,
                       std::numeric_limits<double>::quiet_NaN()}) {
    const Status status = ValidateRatio(ratio);
    EXPECT_EQ(status.code(), StatusCode::kInvalidArgument) << ratio;
    EXPECT_NE(status.message().find("ratio"), std::string::npos) << status.message();

    std::unique_ptr<Compressor> compressor;
    EXPECT_EQ(Compressor::Create({.ratio = ratio}, &compressor).code(),
              StatusCode::kInvalidArgument)
        << ratio;
    EXPECT_EQ(compressor, nullptr);
  }
  for (double ratio : {std::numeric_limits<double>::denorm_min(), 1e-6, 0.01, 0.5, 1.0}) {
    EXPECT_TRUE(ValidateRatio(ratio).ok()) << ratio;
  }
}

}  // namespace
}  // namespace cddp

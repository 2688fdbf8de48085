// The threshold that Top-K tries: below the k-th magnitude to come, but not far.
#include "core/kth_magnitude.h"

#include <gtest/gtest.h>

#include <functional>

#include "tests/core/random_bits.h"

namespace cddp {
namespace {

struct Outcome {
  int above = 0;         // thresholds above the magnitude: second sweeps
  double quotient = 0;   // of thresholds and magnitudes, the mean
  double forecasts = 0;  // the same had the forecast alone been tried
};

Outcome Follow(const std::function<double(int)>& magnitude) {
  constexpr int kSteps = 2000;
  constexpr int kFrom = 100;
  KthMagnitude known;
  Outcome outcome;
  for (int step = 0; step < kFrom + kSteps; ++step) {
    const auto value = static_cast<float>(magnitude(step));
    if (step >= kFrom) {
      outcome.above += known.Next() > value;
      outcome.quotient += known.Next() / value / kSteps;
      outcome.forecasts += known.forecast.Next() / value / kSteps;
    }
    known.Update(value);
  }
  return outcome;
}

TEST(KthMagnitude, BetweenTwoLevelsTheLowerOneIsTried) {
  RandomBits bits(5);
  const Outcome outcome = Follow([&](int) { return bits.Below(2) == 0 ? 0.5 : 1.0; });
  EXPECT_LE(outcome.above, 20);      // one in a hundred: the lower level had not come for long
  EXPECT_GT(outcome.quotient, 0.7);  // 0.75 would be the lower level in every step
  EXPECT_LT(outcome.forecasts, 0.3);
}

TEST(KthMagnitude, WhatHardlyChangesIsForecast) {
  RandomBits bits(6);
  const Outcome outcome =
      Follow([&](int step) { return std::exp(-0.001 * step) * (1 + 0.01 * bits.Uniform()); });
  EXPECT_LE(outcome.above, 20);
  EXPECT_GT(outcome.quotient, 0.95);
  EXPECT_EQ(outcome.quotient, outcome.forecasts);
}

TEST(KthMagnitude, NothingIsTooHighWhileLevelsFall) {
  RandomBits bits(7);
  const Outcome outcome =
      Follow([&](int step) { return std::exp(-0.002 * step) * (bits.Below(2) == 0 ? 0.5 : 1.0); });
  EXPECT_LE(outcome.above, 20);
  EXPECT_GT(outcome.quotient, outcome.forecasts);
}

TEST(KthMagnitude, ZerosAreTriedWithZero) {
  KthMagnitude known;
  for (int step = 0; step < 40; ++step) known.Update(step % 2 == 0 ? 0.0f : 1.0f);
  EXPECT_EQ(known.minimum.Next(), 0.0f);
}

}  // namespace
}  // namespace cddp

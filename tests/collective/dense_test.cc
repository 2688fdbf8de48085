// The dense collective: the mean of all gradients.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "tests/collective/rank_group.h"

namespace cddp {
namespace {

TEST(Collective, DenseEqualsMean) {
  for (int ranks : kWorldSizes) {
    RunRanks(ranks, [ranks](Transport& transport) {
      const auto collective = MakeDenseCollective(&transport);
      EXPECT_EQ(collective->name(), "dense");
      EXPECT_EQ(collective->compressor(), nullptr);
      for (uint64_t step = 0; step < 10; ++step) {
        for (OwnedBucket& bucket : SomeBuckets()) {
          std::vector<double> sum(bucket.values.size(), 0.0);
          std::vector<double> scale(bucket.values.size(), 0.0);
          for (int r = 0; r < ranks; ++r) {
            FillGradient(r, step, &bucket);
            for (size_t i = 0; i < sum.size(); ++i) sum[i] += bucket.values[i];
            for (size_t i = 0; i < sum.size(); ++i) scale[i] += std::abs(bucket.values[i]);
          }
          FillGradient(transport.rank(), step, &bucket);
          ASSERT_TRUE(collective->AllReduceMean(bucket.At(step)).ok());
          for (size_t i = 0; i < sum.size(); ++i) {
            ASSERT_NEAR(bucket.values[i], sum[i] / ranks, scale[i] * 0x1p-23);
          }
        }
        ASSERT_EQ(collective->EndStep(), StepOutcome::kCommitted);
      }
    });
  }
}

TEST(Collective, DenseOfOneRankIsTheGradient) {
  RunRanks(1, [](Transport& transport) {
    const auto collective = MakeDenseCollective(&transport);
    OwnedBucket bucket(0, {100});
    FillGradient(0, 0, &bucket);
    const std::vector<float> gradient = bucket.values;
    ASSERT_TRUE(collective->AllReduceMean(bucket.At(0)).ok());
    EXPECT_EQ(bucket.values, gradient);
  });
}

TEST(Collective, DenseVoidsEverywhere) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  for (float bad : {std::nanf(""), kInfinity, -kInfinity}) {
    RunRanks(3, [bad](Transport& transport) {
      const auto collective = MakeDenseCollective(&transport);
      for (uint64_t step = 0; step < 3; ++step) {
        for (OwnedBucket& bucket : SomeBuckets()) {
          FillGradient(transport.rank(), step, &bucket);
          const bool struck = step == 1 && bucket.index == 1;
          if (struck && transport.rank() == 2) bucket.values[17] = bad;
          ASSERT_TRUE(collective->AllReduceMean(bucket.At(step)).ok());
          for (size_t i = 0; i < bucket.values.size(); ++i) {
            ASSERT_EQ(std::isnan(bucket.values[i]), struck);
          }
        }
        ASSERT_EQ(collective->EndStep(), step == 1 ? StepOutcome::kVoid : StepOutcome::kCommitted);
      }
    });
  }
}

TEST(Collective, DenseVoidsASumThatOverflows) {
  RunRanks(2, [](Transport& transport) {
    const auto collective = MakeDenseCollective(&transport);
    OwnedBucket bucket(0, {3});
    bucket.values[1] = std::numeric_limits<float>::max();
    ASSERT_TRUE(collective->AllReduceMean(bucket.At(0)).ok());
    for (float value : bucket.values) EXPECT_TRUE(std::isnan(value));
    EXPECT_EQ(collective->EndStep(), StepOutcome::kVoid);
  });
}

}  // namespace
}  // namespace cddp

// The sparse allgather: what it computes, and that all ranks compute the same.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "tests/collective/rank_group.h"

namespace cddp {
namespace {

TEST(Collective, GatherWithRatioOneEqualsDense) {
  for (int ranks : kWorldSizes) {
    RunRanks(ranks, [ranks](Transport& transport) {
      const auto dense = MakeDenseCollective(&transport);
      const auto gather = GatherOver(&transport, 1.0);
      EXPECT_EQ(gather->name(), "gather");
      for (uint64_t step = 0; step < 10; ++step) {
        for (OwnedBucket& bucket : SomeBuckets()) {
          FillGradient(transport.rank(), step, &bucket);
          const std::vector<double> magnitudes = MeanMagnitudes(ranks, step, bucket);
          OwnedBucket same = bucket;
          ASSERT_TRUE(dense->AllReduceMean(bucket.At(step)).ok());
          ASSERT_TRUE(gather->AllReduceMean(same.At(step)).ok());
          for (size_t i = 0; i < bucket.values.size(); ++i) {
            ASSERT_NEAR(same.values[i], bucket.values[i], 1e-6 * magnitudes[i])
                << i << " of " << ranks << " ranks";
          }
        }
        ASSERT_EQ(dense->EndStep(), StepOutcome::kCommitted);
        ASSERT_EQ(gather->EndStep(), StepOutcome::kCommitted);
      }
    });
  }
}

// By hand: two ranks, the largest of four each, what stays behind comes next.
TEST(Collective, GatherWorkedExample) {
  RunRanks(2, [](Transport& transport) {
    const auto gather = GatherOver(&transport, 0.25, 0);
    OwnedBucket bucket(0, {4});
    const bool first = transport.rank() == 0;
    const auto step = [&](uint64_t number) {
      bucket.values = first ? std::vector<float>{1, 8, 0, 6} : std::vector<float>{2, 4, 16, 0};
      ASSERT_TRUE(gather->AllReduceMean(bucket.At(number)).ok());
      ASSERT_EQ(gather->EndStep(), StepOutcome::kCommitted);
    };
    step(0);
    EXPECT_EQ(bucket.values, (std::vector<float>{0, 4, 8, 0}));
    step(1);  // accumulated: {2, 8, 0, 12} and {4, 8, 16, 0}
    EXPECT_EQ(bucket.values, (std::vector<float>{0, 0, 8, 6}));
    step(2);  // accumulated: {3, 16, 0, 6} and {6, 12, 16, 0}
    EXPECT_EQ(bucket.values, (std::vector<float>{0, 8, 8, 0}));
    EXPECT_EQ(gather->compressor()->memory().Save().begin()->second,
              (first ? std::vector<float>{3, 0, 0, 6} : std::vector<float>{6, 12, 0, 0}));
  });
}

// Weights trained with the updates, on replicas that never exchange weights.
TEST(Collective, ReplicasBitIdentical) {
  for (int ranks : {2, 3, 4}) {
    std::vector<std::vector<float>> updates(static_cast<size_t>(ranks));
    std::vector<std::vector<float>> weights(static_cast<size_t>(ranks));
    RunRanks(ranks, [&](Transport& transport) {
      const auto gather = GatherOver(&transport, 0.05);
      const auto self = static_cast<size_t>(transport.rank());
      std::vector<OwnedBucket> buckets = SomeBuckets();
      weights[self].assign(68 + 150 + 7, 1.0f);
      for (uint64_t step = 0; step < 200; ++step) {
        size_t w = 0;
        for (OwnedBucket& bucket : buckets) {
          FillGradient(transport.rank(), step, &bucket);
          // The gradient depends on the weights: replicas that part drift further.
          for (size_t i = 0; i < bucket.values.size(); ++i)
            bucket.values[i] += weights[self][w + i];
          ASSERT_TRUE(gather->AllReduceMean(bucket.At(step)).ok());
          for (float update : bucket.values) weights[self][w++] -= 0.01f * update;
          updates[self].insert(updates[self].end(), bucket.values.begin(), bucket.values.end());
        }
        ASSERT_EQ(gather->EndStep(), StepOutcome::kCommitted);
      }
    });
    ASSERT_EQ(updates[0].size(), 200u * 225);
    for (size_t r = 1; r < static_cast<size_t>(ranks); ++r) {
      EXPECT_TRUE(SameBits(updates[r], updates[0])) << "rank " << r << " of " << ranks;
      EXPECT_TRUE(SameBits(weights[r], weights[0])) << "rank " << r << " of " << ranks;
    }
  }
}

TEST(Collective, GatherOfOneRank) {
  RunRanks(1, [](Transport& transport) {
    const auto gather = GatherOver(&transport, 0.25, 0);
    OwnedBucket bucket(0, {4});
    bucket.values = {1, -8, 2, 0};
    ASSERT_TRUE(gather->AllReduceMean(bucket.At(0)).ok());
    EXPECT_EQ(bucket.values, (std::vector<float>{0, -8, 0, 0}));
    ASSERT_EQ(gather->EndStep(), StepOutcome::kCommitted);
    bucket.values[1] = std::nanf("");
    ASSERT_TRUE(gather->AllReduceMean(bucket.At(1)).ok());
    EXPECT_EQ(gather->EndStep(), StepOutcome::kVoid);
    EXPECT_EQ(gather->compressor()->memory().Save().begin()->second,
              (std::vector<float>{1, 0, 2, 0}));
  });
}

// Frames that are finite each, but not their sum: no rank may take that for an update.
TEST(Collective, GatherVoidsASumThatOverflows) {
  RunRanks(2, [](Transport& transport) {
    const auto gather = GatherOver(&transport, 1.0);
    OwnedBucket bucket(0, {3});
    bucket.values[1] = std::numeric_limits<float>::max();
    ASSERT_TRUE(gather->AllReduceMean(bucket.At(0)).ok());
    EXPECT_EQ(gather->EndStep(), StepOutcome::kVoid);
  });
}

TEST(Collective, GatherRefusesWhatTheFrameCannotNumber) {
  RunRanks(1, [](Transport& transport) {
    const auto gather = GatherOver(&transport, 1.0);
    OwnedBucket bucket(65536, {3});
    EXPECT_EQ(gather->AllReduceMean(bucket.At(0)).code(), StatusCode::kInvalidArgument);
  });
}

}  // namespace
}  // namespace cddp

// The split sparse allreduce: what it computes, what it keeps, and what it sends.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "collective/shards.h"
#include "tests/collective/rank_group.h"

namespace cddp {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

std::unique_ptr<Collective> SplitOver(Transport* transport, const CompressorOptions& options,
                                      double owner_budget = 1) {
  std::unique_ptr<Collective> collective;
  const Status status = MakeSplitCollective(transport, options, owner_budget, &collective);
  EXPECT_TRUE(status.ok()) << status.message();
  return collective;
}

// Large enough that several ranks own something of each.
std::vector<OwnedBucket> LargerBuckets() {
  return {OwnedBucket(0, {3, 40'000, 4}), OwnedBucket(1, {100'000}), OwnedBucket(2, {1, 200, 70})};
}

class SplitOfAll : public ::testing::TestWithParam<const char*> {};

TEST_P(SplitOfAll, EqualsDense) {
  const std::string memory = GetParam();
  for (int ranks : kWorldSizes) {
    RunRanks(ranks, [&memory, ranks](Transport& transport) {
      const auto dense = MakeDenseCollective(&transport);
      const auto split = SplitOver(&transport, {.ratio = 1.0, .memory = {.name = memory}});
      EXPECT_EQ(split->name(), "split");
      for (uint64_t step = 0; step < 5; ++step) {
        for (OwnedBucket& bucket : LargerBuckets()) {
          FillGradient(transport.rank(), step, &bucket);
          const std::vector<double> magnitudes = MeanMagnitudes(ranks, step, bucket);
          OwnedBucket same = bucket;
          ASSERT_TRUE(dense->AllReduceMean(bucket.At(step)).ok());
          ASSERT_TRUE(split->AllReduceMean(same.At(step)).ok());
          for (size_t i = 0; i < bucket.values.size(); ++i) {
            ASSERT_NEAR(same.values[i], bucket.values[i], 1e-6 * magnitudes[i])
                << i << " of " << ranks << " ranks";
          }
        }
        ASSERT_EQ(dense->EndStep(), StepOutcome::kCommitted);
        ASSERT_EQ(split->EndStep(), StepOutcome::kCommitted);
      }
    });
  }
}

INSTANTIATE_TEST_SUITE_P(Memories, SplitOfAll, ::testing::Values("none", "residual"));

// With an owner's budget of infinity it is the union sum, as gather computes it.
TEST(Split, WithInfiniteBudgetEqualsGather) {
  for (int ranks : kWorldSizes) {
    RunRanks(ranks, [](Transport& transport) {
      const auto gather = GatherOver(&transport, 0.05);
      const auto split = SplitOver(&transport, {.ratio = 0.05, .whole_limit = 4}, kInfinity);
      for (uint64_t step = 0; step < (kInstrumented ? 6 : 20); ++step) {
        for (OwnedBucket& bucket : LargerBuckets()) {
          FillGradient(transport.rank(), step, &bucket);
          OwnedBucket same = bucket;
          ASSERT_TRUE(gather->AllReduceMean(bucket.At(step)).ok());
          ASSERT_TRUE(split->AllReduceMean(same.At(step)).ok());
          ASSERT_EQ(same.values, bucket.values) << "step " << step;
        }
        gather->EndStep();
        split->EndStep();
      }
    });
  }
}

// Also those of an owner whose share of the entries is far below one.
TEST(Split, EveryElementIsSentSomeDay) {
  RunRanks(3, [](Transport& transport) {
    // A block and 4 elements, whose owner has a share of 33 * 4 / 16,388 entries: one of
    // them every 124 steps.
    const auto split = SplitOver(&transport, {.ratio = 0.002});
    OwnedBucket bucket(0, {kOwnerBlock + 4});
    std::vector<float> sent(4, 0.0f);
    for (uint64_t step = 0; step < 700; ++step) {
      std::ranges::fill(bucket.values, 0.0f);
      std::fill(bucket.values.begin() + kOwnerBlock, bucket.values.end(), 1.0f);
      ASSERT_TRUE(split->AllReduceMean(bucket.At(step)).ok());
      split->EndStep();
      for (size_t i = 0; i < sent.size(); ++i) sent[i] += bucket.values[kOwnerBlock + i];
    }
    for (const float value : sent) EXPECT_GT(value, 0.0f);
  });
}

TEST(Split, ReplicasBitIdentical) {
  for (int ranks : {2, 3, 5}) {
    std::vector<std::vector<float>> updates(static_cast<size_t>(ranks));
    RunRanks(ranks, [&](Transport& transport) {
      const auto split = SplitOver(
          &transport,
          {.ratio = 0.02, .memory = {.name = "dgc"}, .format = {.values = ValueFormat::kInt4}});
      auto& mine = updates[static_cast<size_t>(transport.rank())];
      for (uint64_t step = 0; step < (kInstrumented ? 12 : 100); ++step) {
        for (OwnedBucket& bucket : LargerBuckets()) {
          FillGradient(transport.rank(), step, &bucket);
          ASSERT_TRUE(split->AllReduceMean(bucket.At(step)).ok());
          mine.insert(mine.end(), bucket.values.begin(), bucket.values.end());
        }
        ASSERT_EQ(split->EndStep(), StepOutcome::kCommitted);
      }
    });
    for (const auto& other : updates) EXPECT_TRUE(SameBits(other, updates[0])) << ranks;
  }
}

// A step in which one rank has a NaN leaves no trace on any.
TEST(Split, VoidStepLeavesNoTrace) {
  for (int bad_rank = 0; bad_rank < 3; ++bad_rank) {
    RunRanks(3, [bad_rank](Transport& transport) {
      const auto split = SplitOver(&transport, {.ratio = 0.02});
      OwnedBucket bucket(0, {100'000});
      for (uint64_t step = 0; step < 6; ++step) {
        const MemoryState residual = split->compressor()->memory().Save();
        const MemoryState owned = split->owner_memory()->Save();
        FillGradient(transport.rank(), step, &bucket);
        const bool bad = step == 3;
        if (bad && transport.rank() == bad_rank) bucket.values[17] = std::nanf("");
        ASSERT_TRUE(split->AllReduceMean(bucket.At(step)).ok());
        EXPECT_EQ(split->EndStep(), bad ? StepOutcome::kVoid : StepOutcome::kCommitted);
        if (!bad) continue;
        for (float value : bucket.values) ASSERT_TRUE(std::isnan(value));
        EXPECT_EQ(split->compressor()->memory().Save(), residual);
        EXPECT_EQ(split->owner_memory()->Save(), owned);
      }
    });
  }
}

// Sums of finite values of several ranks may overflow at an owner.
TEST(Split, SumThatOverflowsIsVoid) {
  RunRanks(2, [](Transport& transport) {
    const auto split = SplitOver(&transport, {.ratio = 1.0});
    OwnedBucket bucket(0, {50'000});
    bucket.values[20'000] = std::numeric_limits<float>::max();
    ASSERT_TRUE(split->AllReduceMean(bucket.At(0)).ok());
    EXPECT_EQ(split->EndStep(), StepOutcome::kVoid);
    for (float value : bucket.values) ASSERT_TRUE(std::isnan(value));
  });
}

TEST(Split, BudgetMustBePositive) {
  RunRanks(1, [](Transport& transport) {
    std::unique_ptr<Collective> collective;
    for (double budget : {0.0, -1.0, std::nan("")}) {
      EXPECT_EQ(MakeSplitCollective(&transport, {}, budget, &collective).code(),
                StatusCode::kInvalidArgument);
    }
  });
}

}  // namespace
}  // namespace cddp

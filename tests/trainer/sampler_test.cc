#include "trainer/sampler.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace cddp {
namespace {

// All batches of an epoch, over all workers and steps.
std::vector<int64_t> SamplesOfEpoch(uint32_t samples, int world, uint32_t batch, uint64_t seed,
                                    uint64_t epoch) {
  std::vector<int64_t> seen;
  for (int rank = 0; rank < world; ++rank) {
    DistributedSampler sampler(samples, world, rank, batch, seed);
    sampler.SetEpoch(epoch);
    for (uint32_t step = 0; step < sampler.steps_per_epoch(); ++step) {
      const auto part = sampler.Batch(step);
      seen.insert(seen.end(), part.begin(), part.end());
    }
  }
  return seen;
}

TEST(DistributedSampler, CoversEveryIndexOnce) {
  for (uint32_t samples : {1u, 2u, 7u, 100u, 1000u, 1003u}) {
    for (int world : {1, 2, 3, 4, 8}) {
      for (uint32_t batch : {1u, 3u, 64u}) {
        std::vector<int64_t> seen = SamplesOfEpoch(samples, world, batch, 1, 0);
        std::sort(seen.begin(), seen.end());
        ASSERT_EQ(seen.size(), samples);
        for (uint32_t i = 0; i < samples; ++i) ASSERT_EQ(seen[i], i);
      }
    }
  }
}

TEST(DistributedSampler, SplitsEachGlobalBatchEvenly) {
  for (uint32_t samples : {5u, 100u, 131u}) {
    const uint32_t steps = DistributedSampler(samples, 4, 0, 16, 3).steps_per_epoch();
    ASSERT_EQ(steps, (samples + 63) / 64);
    for (uint32_t step = 0; step < steps; ++step) {
      size_t least = SIZE_MAX, most = 0, sum = 0;
      for (int rank = 0; rank < 4; ++rank) {
        const DistributedSampler sampler(samples, 4, rank, 16, 3);
        least = std::min(least, sampler.Batch(step).size());
        most = std::max(most, sampler.Batch(step).size());
        sum += sampler.Batch(step).size();
        EXPECT_EQ(sampler.GlobalBatch(step), std::min(64u, samples - 64 * step));
      }
      EXPECT_LE(most - least, 1u);
      EXPECT_EQ(sum, std::min(64u, samples - 64 * step));
    }
  }
}

TEST(DistributedSampler, AWorkerMayBeLeftWithoutSamples) {
  const DistributedSampler sampler(66, 4, 0, 16, 3);
  EXPECT_EQ(sampler.steps_per_epoch(), 2u);
  EXPECT_TRUE(sampler.Batch(1).empty());
}

TEST(DistributedSampler, ReshufflesByEpochAndSeedOnly) {
  const auto first = SamplesOfEpoch(1000, 2, 10, 1, 0);
  EXPECT_EQ(first, SamplesOfEpoch(1000, 2, 10, 1, 0));
  EXPECT_NE(first, SamplesOfEpoch(1000, 2, 10, 1, 1));
  EXPECT_NE(first, SamplesOfEpoch(1000, 2, 10, 2, 0));
}

// The global batch of a step does not depend on the number of workers.
TEST(DistributedSampler, GlobalBatchesAreThoseOfOneWorker) {
  DistributedSampler one(1000, 1, 0, 40, 7);
  std::vector<int64_t> together;
  for (int rank = 0; rank < 4; ++rank) {
    const DistributedSampler part(1000, 4, rank, 10, 7);
    together.insert(together.end(), part.Batch(3).begin(), part.Batch(3).end());
  }
  const auto whole = one.Batch(3);
  EXPECT_EQ(together, std::vector<int64_t>(whole.begin(), whole.end()));
}

// 3 workers, batches of 2: an epoch of 20 samples is batches of 6, 6, 6 and 2.
TEST(DistributedSampler, AccumulatedBatchesCoverTheEpoch) {
  const DistributedSampler sampler(20, 3, 0, 2, 1);
  EXPECT_EQ(OptimizerSteps(sampler, 1), 4u);
  EXPECT_EQ(OptimizerSteps(sampler, 3), 2u);
  EXPECT_EQ(OptimizerSteps(sampler, 9), 1u);
  const AccumulatedBatches whole = BatchesOf(sampler, 0, 3), rest = BatchesOf(sampler, 1, 3);
  EXPECT_EQ(whole.first, 0u);
  EXPECT_EQ(whole.count, 3u);
  EXPECT_EQ(whole.samples, 18u);
  EXPECT_EQ(rest.first, 3u);
  EXPECT_EQ(rest.count, 1u);
  EXPECT_EQ(rest.samples, 2u);
}

// A checkpoint in an epoch may be of other batches: what does not fit whole steps comes again.
TEST(DistributedSampler, StepsWithinWhatIsBehind) {
  const DistributedSampler sampler(103, 2, 0, 5, 1);  // eleven batches of 10, the last of 3
  const auto within = [&](uint32_t samples) {
    const uint32_t steps = StepsWithin(sampler, 2, &samples);
    return std::pair(steps, samples);
  };
  EXPECT_EQ(within(0), std::pair(0u, 0u));
  EXPECT_EQ(within(19), std::pair(0u, 0u));
  EXPECT_EQ(within(20), std::pair(1u, 20u));
  EXPECT_EQ(within(59), std::pair(2u, 40u));
  EXPECT_EQ(within(103), std::pair(6u, 103u));
}

}  // namespace
}  // namespace cddp

// Replicas stay bit-identical over many steps, also where buckets are uneven: smaller than
// the group, with parameters of one element, with one that outweighs all others.
#include <gtest/gtest.h>
#include <xxhash.h>

#include <algorithm>
#include <chrono>
#include <iostream>

#include "tests/collective/rank_group.h"

namespace cddp {
namespace {

std::vector<OwnedBucket> UnevenBuckets() {
  return {OwnedBucket(0, {1, 3'000, 1, 70}), OwnedBucket(1, {1, 1, 1}), OwnedBucket(2, {2, 130})};
}

std::unique_ptr<Collective> SplitOrGather(bool split, Transport* transport) {
  if (!split) return GatherOver(transport, 0.01);
  const CompressorOptions options{.ratio = 0.01,
                                  .whole_limit = 4,
                                  .memory = {.name = "dgc"},
                                  .format = {.values = ValueFormat::kInt4}};
  std::unique_ptr<Collective> collective;
  const Status status = MakeSplitCollective(transport, options, 1, &collective);
  EXPECT_TRUE(status.ok()) << status.message();
  return collective;
}

struct Trained {
  std::vector<XXH64_hash_t> digests;  // after each step, of all that it synchronised
  uint64_t changes = 0;               // elements that were not zero
};

Trained TrainManySteps(bool split, Transport& transport) {
  const auto collective = SplitOrGather(split, &transport);
  std::vector<OwnedBucket> buckets = UnevenBuckets();
  Trained trained;
  for (uint64_t step = 0; step < kManySteps; ++step) {
    XXH64_hash_t digest = 0;
    for (OwnedBucket& bucket : buckets) {
      FillGradient(transport.rank(), step, &bucket);
      const Status status = collective->AllReduceMean(bucket.At(step));
      EXPECT_TRUE(status.ok()) << status.message();
      if (!status.ok()) return trained;
      digest =
          XXH3_64bits_withSeed(bucket.values.data(), bucket.values.size() * sizeof(float), digest);
      trained.changes +=
          bucket.values.size() - static_cast<size_t>(std::ranges::count(bucket.values, 0.0f));
    }
    EXPECT_EQ(collective->EndStep(), StepOutcome::kCommitted);
    trained.digests.push_back(digest);
  }
  return trained;
}

class ManyStepsTest : public ::testing::TestWithParam<std::tuple<bool, int>> {};

TEST_P(ManyStepsTest, ReplicasAreBitIdenticalAtEveryStep) {
  const auto [split, ranks] = GetParam();
  const auto start = std::chrono::steady_clock::now();
  std::vector<Trained> all(static_cast<size_t>(ranks));
  RunRanks(ranks, [&, split = split](Transport& transport) {
    all[static_cast<size_t>(transport.rank())] = TrainManySteps(split, transport);
  });
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;

  for (const Trained& rank : all) ASSERT_EQ(rank.digests.size(), kManySteps);
  for (uint64_t step = 0; step < kManySteps; ++step) {
    for (size_t r = 1; r < all.size(); ++r) {
      ASSERT_EQ(all[r].digests[step], all[0].digests[step]) << "rank " << r << ", step " << step;
    }
  }
  std::cout << kManySteps << " steps in " << seconds.count() << " s, "
            << static_cast<double>(all[0].changes) / kManySteps << " elements changed in each\n";
  // At the least what goes whole and the largest entry of the rest changes in a step.
  EXPECT_GT(all[0].changes, 9 * kManySteps);
  std::ranges::sort(all[0].digests);
  EXPECT_EQ(std::ranges::adjacent_find(all[0].digests), all[0].digests.end()) << "steps differ";
}

INSTANTIATE_TEST_SUITE_P(Collectives, ManyStepsTest,
                         ::testing::Combine(::testing::Bool(), ::testing::Values(2, 3, 4, 8)),
                         [](const auto& info) {
                           return (std::get<0>(info.param) ? "split" : "gather") +
                                  std::to_string(std::get<1>(info.param));
                         });

// Large parameters are swept by several threads, which changes nothing of what is sent.
TEST(ManySteps, MeansAreThoseOfAnyNumberOfThreads) {
  constexpr int kRanks = 2;
  std::vector<std::vector<XXH64_hash_t>> digests;
  for (int threads : {1, 2, 4}) {
    digests.emplace_back();
    RunRanks(kRanks, [&](Transport& transport) {
      const CompressorOptions options{.ratio = 0.01,
                                      .selector = {.threads = threads},
                                      .memory = {.name = "dgc"},
                                      .format = {.values = ValueFormat::kInt4}};
      std::unique_ptr<Collective> collective;
      ASSERT_TRUE(MakeSplitCollective(&transport, options, 1, &collective).ok());
      OwnedBucket bucket(0, {400'000, 5, 150'000});
      for (uint64_t step = 0; step < (kInstrumented ? 4 : 12); ++step) {
        FillGradient(transport.rank(), step, &bucket);
        ASSERT_TRUE(collective->AllReduceMean(bucket.At(step)).ok());
        ASSERT_EQ(collective->EndStep(), StepOutcome::kCommitted);
        if (transport.rank() != 0) continue;
        digests.back().push_back(
            XXH3_64bits(bucket.values.data(), bucket.values.size() * sizeof(float)));
      }
    });
    EXPECT_EQ(digests.back(), digests.front()) << threads << " threads";
  }
}

}  // namespace
}  // namespace cddp

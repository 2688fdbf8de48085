#include "collective/cost_model.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace cddp {
namespace {

TEST(Curve, IsStraightBetweenPointsAndBeyondTheLast) {
  Curve curve;
  curve.Add(10, 1.0);
  EXPECT_EQ(curve.At(1'000), 1.0) << "of one point nothing else is known";
  curve.Add(20, 2.0);
  curve.Add(40, 2.5);
  EXPECT_EQ(curve.At(1), 1.0);
  EXPECT_EQ(curve.At(15), 1.5);
  EXPECT_EQ(curve.At(30), 2.25);
  EXPECT_EQ(curve.At(60), 3.0);
  curve.Add(80, 1.0);  // noise
  EXPECT_EQ(curve.At(80), 2.5);
}

// Prepared at 2, 3, 8; exchanged from 2 to 5, 5 to 6, 8 to 10.
TEST(CostModel, StagesOfConsecutiveBucketsOverlap) {
  const StageSeconds buckets[] = {{2, 3}, {1, 1}, {5, 2}};
  EXPECT_EQ(StepSeconds(buckets), 10);
  EXPECT_EQ(StepSeconds({}), 0);
}

// A network of `mbps`, with 0.1 ms latency, and a processor of usual speed.
MachineCosts CostsOf(int ranks, double mbps) {
  const double per_byte = 8 / (mbps * 1e6);
  MachineCosts costs{.world_size = ranks,
                     .select_per_element = 0.7e-9,
                     .sum_per_element = 0.1e-9,
                     .encode_per_entry = 5e-9,
                     .decode_per_entry = 4e-9,
                     .bytes_per_entry = 1.55};
  const double ring = 2.0 * (ranks - 1) / ranks;
  costs.exchange.Add(0, 1e-4);
  costs.exchange.Add(1e6, 1e-4 + 1e6 * per_byte);
  costs.dense.Add(0, 1e-4 * 2 * (ranks - 1));
  costs.dense.Add(1e6, 1e-4 * 2 * (ranks - 1) + 1e6 * ring * per_byte);
  return costs;
}

Way BestOf(const MachineCosts& costs, uint32_t elements) {
  const PlannedBucket bucket{elements, elements / 100};
  return CandidatePlans(costs, 1, std::span(&bucket, 1)).front().ways[0];
}

TEST(CostModel, ChoosesAsTheNetworkSays) {
  EXPECT_EQ(BestOf(CostsOf(2, 100), 6'000'000), Way::kGather);
  EXPECT_EQ(BestOf(CostsOf(16, 100), 6'000'000), Way::kSplit);
  EXPECT_EQ(BestOf(CostsOf(2, 400'000), 6'000'000), Way::kDense) << "50 GB/s";
  EXPECT_EQ(BestOf(CostsOf(16, 1'000), 1'000), Way::kGather) << "one round is less than two";
}

// Many small buckets gain by one round instead of two, a large one by fewer bytes.
TEST(CostModel, MixesWaysWhereThatIsBetter) {
  const MachineCosts costs = CostsOf(8, 1'000);
  std::vector<PlannedBucket> buckets{{6'000'000, 60'000}};
  buckets.insert(buckets.end(), 20, {100, 100});
  const std::vector<PredictedPlan> plans = CandidatePlans(costs, 1, buckets);
  ASSERT_EQ(plans.size(), kWays + 1);
  for (size_t i = 1; i < plans.size(); ++i) EXPECT_LE(plans[i - 1].seconds, plans[i].seconds);
  std::vector<Way> mixture(21, Way::kGather);
  mixture[0] = Way::kSplit;
  EXPECT_EQ(plans.front().ways, mixture);
  for (Way way : {Way::kDense, Way::kGather, Way::kSplit}) {
    const std::vector<Way> uniform(buckets.size(), way);
    EXPECT_EQ(std::ranges::count(plans, uniform, &PredictedPlan::ways), 1) << WayName(way);
  }
}

TEST(CostModel, NamesNoMixtureThatGainsLittle) {
  const PlannedBucket buckets[] = {{1'000, 1'000}, {6'000'000, 60'000}};
  EXPECT_EQ(CandidatePlans(CostsOf(8, 1'000), 1, buckets).size(), kWays);
}

}  // namespace
}  // namespace cddp

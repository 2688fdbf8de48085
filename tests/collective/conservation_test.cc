// Across ranks nothing is lost either: P times the update and the change of all
// memories make up the sum of the gradients.
#include <gtest/gtest.h>

#include <cmath>

#include "tests/collective/rank_group.h"

namespace cddp {
namespace {

// What one rank saw of one bucket in one step.
struct Seen {
  std::vector<float> gradient;
  std::vector<float> before;  // memory
  std::vector<float> after;
  std::vector<float> update;
};

std::vector<float> MemoryOf(Collective& collective, const OwnedBucket& bucket) {
  const MemoryState state = collective.compressor()->memory().Save();
  std::vector<float> values;
  for (const BucketParameter& parameter : bucket.parameters) {
    const auto it = state.find(parameter.name);
    if (it == state.end()) {
      values.resize(values.size() + parameter.count, 0.0f);
    } else {
      values.insert(values.end(), it->second.begin(), it->second.end());
    }
  }
  return values;
}

std::vector<Seen> TrainByGather(Transport& transport, uint64_t steps) {
  const auto gather = GatherOver(&transport, 0.1);
  std::vector<Seen> seen;
  for (uint64_t step = 0; step < steps; ++step) {
    std::vector<OwnedBucket> buckets = SomeBuckets();
    const size_t first = seen.size();
    for (OwnedBucket& bucket : buckets) {
      FillGradient(transport.rank(), step, &bucket);
      Seen now{.gradient = bucket.values,
               .before = MemoryOf(*gather, bucket),
               .after = {},
               .update = {}};
      EXPECT_TRUE(gather->AllReduceMean(bucket.At(step)).ok());
      now.update = bucket.values;
      seen.push_back(std::move(now));
    }
    EXPECT_EQ(gather->EndStep(), StepOutcome::kCommitted);
    for (size_t b = 0; b < buckets.size(); ++b) {
      seen[first + b].after = MemoryOf(*gather, buckets[b]);
    }
  }
  return seen;
}

TEST(Collective, ConservationAcrossRanks) {
  for (int ranks : kWorldSizes) {
    std::vector<std::vector<Seen>> all(static_cast<size_t>(ranks));
    RunRanks(ranks, [&](Transport& transport) {
      all[static_cast<size_t>(transport.rank())] = TrainByGather(transport, 60);
    });
    bool remembered = false;
    for (size_t s = 0; s < all[0].size(); ++s) {
      for (size_t i = 0; i < all[0][s].update.size(); ++i) {
        double sum = 0;
        double change = 0;
        double scale = 0;
        for (const std::vector<Seen>& rank : all) {
          sum += rank[s].gradient[i];
          change += double{rank[s].after[i]} - rank[s].before[i];
          scale += std::abs(double{rank[s].gradient[i]}) + std::abs(double{rank[s].before[i]});
          remembered |= rank[s].after[i] != 0.0f;
        }
        ASSERT_NEAR(ranks * double{all[0][s].update[i]} + change, sum, ranks * 0x1p-23 * scale)
            << "element " << i << " of bucket and step " << s << ", " << ranks << " ranks";
      }
    }
    EXPECT_TRUE(remembered);
  }
}

}  // namespace
}  // namespace cddp

// Across ranks nothing is lost either: P times the update and the change of all memories, the
// owners' included, make up the sum of the gradients.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <iostream>

#include "tests/collective/kept.h"
#include "tests/collective/rank_group.h"

namespace cddp {
namespace {

struct Case {
  const char* name;
  bool split;
  ValueFormat values;
};

std::unique_ptr<Collective> Make(const Case& made, Transport* transport) {
  const CompressorOptions options{.ratio = 0.02, .format = {.values = made.values}};
  std::unique_ptr<Collective> collective;
  Status status;
  if (made.split) {
    status = MakeSplitCollective(transport, options, 1, &collective);
  } else {
    std::unique_ptr<Compressor> compressor;
    status = Compressor::Create(options, &compressor);
    collective = MakeGatherCollective(transport, std::move(compressor));
  }
  EXPECT_TRUE(status.ok()) << status.message();
  return collective;
}

// What a rank keeps of each element: its residual, and what it keeps as an owner.
struct Kept {
  std::vector<float> residual;
  std::vector<float> owned;

  double Of(size_t i) const { return double{residual[i]} + owned[i]; }
  double Magnitude(size_t i) const {
    return std::abs(double{residual[i]}) + std::abs(double{owned[i]});
  }
};

Kept KeptOf(Collective& collective, const Transport& transport, OwnedBucket& bucket) {
  Kept kept{.residual = InPlace(collective.compressor()->memory().Save(), bucket.At(0)),
            .owned = std::vector<float>(bucket.values.size())};
  if (collective.owner_memory() != nullptr) {
    kept.owned = OwnedInPlace(collective.owner_memory()->Save(), bucket.At(0),
                              transport.world_size(), transport.rank());
  }
  return kept;
}

// What one rank saw of one bucket in one step.
struct Seen {
  std::vector<float> gradient;
  Kept before;
  Kept after;
  std::vector<float> update;
};

std::vector<Seen> Train(const Case& made, Transport& transport, uint64_t steps) {
  const auto collective = Make(made, &transport);
  // Small parameters, and such of which each rank owns a part.
  std::vector<OwnedBucket> buckets{OwnedBucket(0, {3, 40'000, 4}), OwnedBucket(1, {17'000}),
                                   OwnedBucket(2, {1, 200, 70})};
  std::vector<Seen> seen;
  for (uint64_t step = 0; step < steps; ++step) {
    const size_t first = seen.size();
    for (OwnedBucket& bucket : buckets) {
      FillGradient(transport.rank(), step, &bucket);
      Seen now{.gradient = bucket.values,
               .before = KeptOf(*collective, transport, bucket),
               .after = {},
               .update = {}};
      EXPECT_TRUE(collective->AllReduceMean(bucket.At(step)).ok());
      now.update = bucket.values;
      seen.push_back(std::move(now));
    }
    EXPECT_EQ(collective->EndStep(), StepOutcome::kCommitted);
    for (size_t b = 0; b < buckets.size(); ++b) {
      seen[first + b].after = KeptOf(*collective, transport, buckets[b]);
    }
  }
  return seen;
}

class ConservationTest : public ::testing::TestWithParam<Case> {};

TEST_P(ConservationTest, AcrossRanks) {
  for (int ranks : kWorldSizes) {
    std::vector<std::vector<Seen>> all(static_cast<size_t>(ranks));
    RunRanks(ranks, [&](Transport& transport) {
      all[static_cast<size_t>(transport.rank())] = Train(GetParam(), transport, 10);
    });
    double largest = 0;
    bool kept = false, owned = false;
    for (size_t s = 0; s < all[0].size(); ++s) {
      for (size_t i = 0; i < all[0][s].update.size(); ++i) {
        double sum = 0, change = 0, scale = 0;
        for (const std::vector<Seen>& rank : all) {
          sum += rank[s].gradient[i];
          change += rank[s].after.Of(i) - rank[s].before.Of(i);
          scale += std::abs(double{rank[s].gradient[i]}) + rank[s].before.Magnitude(i);
          kept |= rank[s].after.residual[i] != 0.0f;
          owned |= rank[s].after.owned[i] != 0.0f;
        }
        const double error = std::abs(ranks * double{all[0][s].update[i]} + change - sum);
        ASSERT_LE(error, ranks * 0x1p-23 * scale)
            << "element " << i << " of bucket and step " << s << ", " << ranks << " ranks";
        if (scale > 0) largest = std::max(largest, error / (ranks * 0x1p-23 * scale));
      }
    }
    std::cout << ranks << " ranks: the largest error is " << largest << " of the bound\n";
    EXPECT_TRUE(kept);
    EXPECT_EQ(owned, GetParam().split && ranks > 1);
  }
}

INSTANTIATE_TEST_SUITE_P(Collectives, ConservationTest,
                         ::testing::Values(Case{"gather", false, ValueFormat::kFp32},
                                           Case{"gather_int4", false, ValueFormat::kInt4},
                                           Case{"split", true, ValueFormat::kFp32},
                                           Case{"split_int4", true, ValueFormat::kInt4}),
                         [](const auto& info) { return std::string(info.param.name); });

}  // namespace
}  // namespace cddp

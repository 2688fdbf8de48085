// A step in which one rank's gradient is not finite voids on every rank, whole,
// and training goes on as if it had not been.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "tests/collective/rank_group.h"

namespace cddp {
namespace {

constexpr uint64_t kStruckSteps = 5;

// Where the bad value strikes; step kStruckSteps: nowhere.
struct Strike {
  int ranks = 2;
  int rank = 0;
  uint64_t step = kStruckSteps;
  uint32_t bucket = 0;
  size_t element = 0;
  float value = 0.0f;
};

Strike AnyStrike(RandomBits& bits) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  constexpr float kBad[] = {std::numeric_limits<float>::quiet_NaN(), kInfinity, -kInfinity};
  Strike strike;
  strike.ranks = 2 + static_cast<int>(bits.Below(3));
  strike.rank = static_cast<int>(bits.Below(static_cast<uint64_t>(strike.ranks)));
  strike.step = bits.Below(kStruckSteps);
  strike.bucket = static_cast<uint32_t>(bits.Below(3));
  strike.element = bits.Below(SomeBuckets()[strike.bucket].values.size());
  strike.value = kBad[bits.Below(3)];
  return strike;
}

// A parameter that the memory does not know yet and one that it remembers zeros
// of are the same to every later step.
bool SameMemory(const MemoryState& before, const MemoryState& after) {
  return std::ranges::all_of(after, [&](const auto& entry) {
    const auto it = before.find(entry.first);
    const std::vector<float> zeros(entry.second.size(), 0.0f);
    return SameBits(it == before.end() ? zeros : it->second, entry.second);
  });
}

// What a rank keeps, as an owner too.
MemoryState KeptBy(Collective& collective) {
  MemoryState kept = collective.compressor()->memory().Save();
  if (const Memory* owner = collective.owner_memory()) {
    for (auto& [name, values] : owner->Save()) kept["owner/" + name] = values;
  }
  return kept;
}

std::unique_ptr<Collective> GatherOfResiduals(Transport* transport) {
  return GatherOver(transport, 0.1);
}

std::unique_ptr<Collective> SplitOfVelocities(Transport* transport) {
  std::unique_ptr<Collective> split;
  EXPECT_TRUE(MakeSplitCollective(transport,
                                  {.ratio = 0.1,
                                   .whole_limit = 4,
                                   .memory = {.name = "dgc"},
                                   .format = {.values = ValueFormat::kInt4}},
                                  1, &split)
                  .ok());
  return split;
}

using Maker = std::unique_ptr<Collective> (*)(Transport*);

// Trains one rank through all steps but `skip` and returns what it keeps.
MemoryState TrainStruck(Maker make, Transport& transport, const Strike& strike, uint64_t skip) {
  const auto collective = make(&transport);
  for (uint64_t step = 0; step < kStruckSteps; ++step) {
    if (step == skip) continue;
    const MemoryState before = KeptBy(*collective);
    for (OwnedBucket& bucket : SomeBuckets()) {
      FillGradient(transport.rank(), step, &bucket);
      const bool struck = step == strike.step && bucket.index == strike.bucket;
      if (struck && transport.rank() == strike.rank) bucket.values[strike.element] = strike.value;
      const Status status = collective->AllReduceMean(bucket.At(step));
      EXPECT_TRUE(status.ok()) << status.message();
      const auto nans = std::ranges::count_if(bucket.values, [](float v) { return std::isnan(v); });
      EXPECT_EQ(static_cast<size_t>(nans), struck ? bucket.values.size() : 0u);
    }
    EXPECT_EQ(collective->EndStep(),
              step == strike.step ? StepOutcome::kVoid : StepOutcome::kCommitted);
    if (step == strike.step) {
      EXPECT_TRUE(SameMemory(before, KeptBy(*collective)));
    }
  }
  return KeptBy(*collective);
}

void StrikeAnywhere(Maker make, int cases) {
  RandomBits bits(2024);
  for (int c = 0; c < cases; ++c) {
    const Strike strike = AnyStrike(bits);
    SCOPED_TRACE(::testing::Message()
                 << "case " << c << ": rank " << strike.rank << " of " << strike.ranks << ", step "
                 << strike.step << ", bucket " << strike.bucket << ", element " << strike.element);
    std::vector<MemoryState> struck(static_cast<size_t>(strike.ranks));
    std::vector<MemoryState> spared(static_cast<size_t>(strike.ranks));
    RunRanks(strike.ranks, [&](Transport& transport) {
      struck[static_cast<size_t>(transport.rank())] =
          TrainStruck(make, transport, strike, kStruckSteps);
    });
    RunRanks(strike.ranks, [&](Transport& transport) {
      spared[static_cast<size_t>(transport.rank())] =
          TrainStruck(make, transport, Strike{}, strike.step);
    });
    for (size_t r = 0; r < struck.size(); ++r) {
      ASSERT_GE(struck[r].size(), 7u);
      ASSERT_TRUE(SameMemory(struck[r], spared[r])) << "rank " << r;
    }
  }
}

TEST(Collective, NonFiniteGradientVoidsTheStepOnEveryRank) {
  StrikeAnywhere(GatherOfResiduals, kManyGroups);
}

TEST(Split, NonFiniteGradientVoidsTheStepOnEveryRank) {
  StrikeAnywhere(SplitOfVelocities, kManyGroups / 2);
}

TEST(Collective, TwoStrikesInOneStepAreOneVoid) {
  RunRanks(3, [](Transport& transport) {
    const auto gather = GatherOver(&transport, 0.1);
    for (uint64_t step = 0; step < 3; ++step) {
      for (OwnedBucket& bucket : SomeBuckets()) {
        FillGradient(transport.rank(), step, &bucket);
        if (step == 1 && bucket.index != 2) bucket.values[0] = std::nanf("");
        ASSERT_TRUE(gather->AllReduceMean(bucket.At(step)).ok());
      }
      ASSERT_EQ(gather->EndStep(), step == 1 ? StepOutcome::kVoid : StepOutcome::kCommitted);
    }
  });
}

}  // namespace
}  // namespace cddp

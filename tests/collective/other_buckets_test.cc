// Training that goes on with its parameters in other buckets, as with another --bucket-mb: nothing
// that is owed is lost. Reliability scorecard, row 19.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <map>

#include "tests/collective/kept.h"
#include "tests/collective/rank_group.h"

namespace cddp {
namespace {

// Six parameters, packed into buckets of so many in turn, the last one first as DDP does it; none
// depends on its bucket.
std::vector<OwnedBucket> PackedBuckets(std::vector<size_t> packing) {
  constexpr std::array<uint32_t, 6> kCounts{3, 40'000, 4, 2'000, 17'000, 70};
  std::vector<OwnedBucket> buckets;
  size_t last = kCounts.size();
  for (size_t size : packing) {
    std::vector<uint32_t> counts(kCounts.begin() + last - size, kCounts.begin() + last);
    last -= size;
    buckets.emplace_back(static_cast<uint32_t>(buckets.size()), counts);
    for (size_t p = 0; p < size; ++p) {
      buckets.back().parameters[p].name = "p" + std::to_string(last + p);
    }
  }
  return buckets;
}

const CompressorOptions kPackedOptions{.ratio = 0.02, .format = {.values = ValueFormat::kInt4}};
constexpr uint64_t kStepsOfPacking = 12;  // with each packing

// By parameter: a rank's gradients, the means, and what it keeps at the end.
struct ParameterSums {
  std::map<std::string, std::vector<double>> gradients, means, kept, magnitudes;
};

void AddByParameter(std::map<std::string, std::vector<double>>* sums, const OwnedBucket& bucket,
                    std::span<const float> values, bool magnitudes = false) {
  for (const BucketParameter& parameter : bucket.parameters) {
    std::vector<double>& sum = (*sums)[parameter.name];
    sum.resize(parameter.count);
    for (size_t i = 0; i < parameter.count; ++i) {
      const double value = values[parameter.offset + i];
      sum[i] += magnitudes ? std::abs(value) : value;
    }
  }
}

// Training with one packing, then from what was saved with another.
ParameterSums TrainWithPackings(Transport& transport,
                                const std::vector<std::vector<size_t>>& packings) {
  ParameterSums sums;
  MemoryState own, owner;
  uint64_t step = 0;
  std::vector<OwnedBucket> buckets;
  for (const std::vector<size_t>& packing : packings) {
    std::unique_ptr<Collective> collective;
    EXPECT_TRUE(MakeSplitCollective(&transport, kPackedOptions, 1, &collective).ok());
    Memory& memory = collective->compressor()->memory();
    EXPECT_TRUE(memory.Load(own).ok());
    EXPECT_TRUE(collective->owner_memory()->Load(owner).ok());
    buckets = PackedBuckets(packing);
    for (const uint64_t end = step + kStepsOfPacking; step < end; ++step) {
      for (OwnedBucket& bucket : buckets) {
        FillGradient(transport.rank(), step, &bucket);
        AddByParameter(&sums.gradients, bucket, bucket.values);
        AddByParameter(&sums.magnitudes, bucket, bucket.values, true);
        EXPECT_TRUE(collective->AllReduceMean(bucket.At(step)).ok());
        AddByParameter(&sums.means, bucket, bucket.values);
      }
      EXPECT_EQ(collective->EndStep(), StepOutcome::kCommitted);
    }
    own = memory.Save();
    owner = collective->owner_memory()->Save();
  }
  for (OwnedBucket& bucket : buckets) {
    AddByParameter(&sums.kept, bucket, InPlace(own, bucket.At(0)));
    AddByParameter(&sums.kept, bucket,
                   OwnedInPlace(owner, bucket.At(0), transport.world_size(), transport.rank()));
  }
  return sums;
}

TEST(OtherBuckets, KeepWhatIsOwed) {
  constexpr int kRanks = 3;
  const std::vector<std::vector<size_t>> packings{{6}, {1, 1, 1, 1, 1, 1}, {2, 3, 1}};
  std::vector<ParameterSums> all(kRanks);
  RunRanks(kRanks, [&](Transport& transport) {
    all[static_cast<size_t>(transport.rank())] = TrainWithPackings(transport, packings);
  });
  const auto additions = static_cast<double>(kStepsOfPacking * packings.size());
  for (const auto& [name, means] : all[0].means) {
    double owed = 0;
    for (size_t i = 0; i < means.size(); ++i) {
      double gradient = 0, kept = 0, magnitude = 0;
      for (const ParameterSums& rank : all) {
        EXPECT_EQ(rank.means.at(name)[i], means[i]);
        gradient += rank.gradients.at(name)[i];
        kept += rank.kept.at(name)[i];
        magnitude += rank.magnitudes.at(name)[i];
      }
      ASSERT_NEAR(kRanks * means[i] + kept, gradient, additions * 0x1p-23 * magnitude) << name << i;
      owed += std::abs(kept);
    }
    EXPECT_GT(owed, 0) << name;
  }
}

}  // namespace
}  // namespace cddp

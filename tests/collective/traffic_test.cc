// What docs/algorithms.md says of rounds and bytes, against what is counted.
#include <gtest/gtest.h>

#include <cmath>

#include "collective/counting_transport.h"
#include "tests/collective/rank_group.h"

namespace cddp {
namespace {

constexpr double kRatio = 0.01;

// As many as 64 owners have a block of.
uint32_t ElementsFor(int ranks) { return ranks > 16 ? 64 * 16'384 : 400'000; }
double EntriesFor(int ranks) { return ElementsFor(ranks) * kRatio; }

// The document's formulas, in bytes that a rank sends for a bucket of one parameter.
double FrameBytes(double entries, double density) {
  const double index_bits = std::log2(1 / density) + 1.5;
  const double blocks = std::ceil(entries / 256);
  return 40 + 3 + 4.75 * blocks + entries * (index_bits + 4) / 8;
}
double GatherBytes(int ranks) { return (ranks - 1) * FrameBytes(EntriesFor(ranks), kRatio); }
double SplitBytes(int ranks, double c) {
  const double entries = EntriesFor(ranks) / ranks;
  return (ranks - 1) * (FrameBytes(entries, kRatio) + FrameBytes(c * entries, c * kRatio));
}

struct Traffic {
  double exchanges = 0;
  double bytes = 0;  // mean over the ranks
};

Traffic Count(int ranks, const std::function<std::unique_ptr<Collective>(Transport*)>& make) {
  std::vector<Traffic> counted(static_cast<size_t>(ranks));
  RunRanks(ranks, [&](Transport& transport) {
    CountingTransport counting(&transport);
    const auto collective = make(&counting);
    OwnedBucket bucket(0, {ElementsFor(ranks)});
    constexpr int kSteps = 3;
    for (uint64_t step = 0; step < kSteps; ++step) {
      FillGradient(transport.rank(), step, &bucket);
      ASSERT_TRUE(collective->AllReduceMean(bucket.At(step)).ok());
      collective->EndStep();
    }
    counted[static_cast<size_t>(transport.rank())] = {
        static_cast<double>(counting.exchanges()) / kSteps,
        static_cast<double>(counting.exchanged_bytes()) / kSteps};
  });
  Traffic mean;
  for (const Traffic& traffic : counted) {
    mean.exchanges += traffic.exchanges / ranks;
    mean.bytes += traffic.bytes / ranks;
  }
  return mean;
}

const CompressorOptions kTrafficOptions{.ratio = kRatio, .format = {.values = ValueFormat::kInt4}};

TEST(Traffic, OfGatherIsAsDocumented) {
  for (int ranks : {2, 3, 4, 8, 16, 32, 64}) {
    if (ranks > kMostRanks) break;
    const Traffic traffic = Count(ranks, [](Transport* transport) {
      std::unique_ptr<Compressor> compressor;
      EXPECT_TRUE(Compressor::Create(kTrafficOptions, &compressor).ok());
      return MakeGatherCollective(transport, std::move(compressor));
    });
    EXPECT_EQ(traffic.exchanges, 1);
    EXPECT_NEAR(traffic.bytes / GatherBytes(ranks), 1, 0.02) << ranks << " ranks";
  }
}

TEST(Traffic, OfSplitIsAsDocumented) {
  for (int ranks : {2, 3, 4, 8, 16, 32, 64}) {
    if (ranks > kMostRanks) break;
    for (double c : {0.5, 1.0, 2.0}) {
      const Traffic traffic = Count(ranks, [c](Transport* transport) {
        std::unique_ptr<Collective> collective;
        EXPECT_TRUE(MakeSplitCollective(transport, kTrafficOptions, c, &collective).ok());
        return collective;
      });
      EXPECT_EQ(traffic.exchanges, 2);
      EXPECT_NEAR(traffic.bytes / SplitBytes(ranks, c), 1, 0.03) << ranks << " ranks, c " << c;
    }
  }
}

TEST(Traffic, OfDenseIsLeftToTheTransport) {
  RunRanks(3, [](Transport& transport) {
    CountingTransport counting(&transport);
    const auto dense = MakeDenseCollective(&counting);
    constexpr uint32_t kElements = 1'000;
    OwnedBucket bucket(0, {kElements});
    ASSERT_TRUE(dense->AllReduceMean(bucket.At(0)).ok());
    EXPECT_EQ(counting.exchanges(), 0u);
    EXPECT_EQ(counting.reductions(), 1u);
    EXPECT_EQ(counting.reduced_bytes(), 4u * kElements);
  });
}

}  // namespace
}  // namespace cddp

// The law of split, in-process on the shapes of real models: a rank sends 2 k (P-1)/P
// entries whatever P is, headers and all.
#include <gtest/gtest.h>

#include <cstdio>
#include <mutex>

#include "collective/counting_transport.h"
#include "tests/collective/rank_group.h"
#include "trainer/shapes.h"

namespace cddp {
namespace {

struct Measured {
  double bytes = 0;    // that a rank sends in a step, mean over the ranks
  double entries = 0;  // k: that a rank takes out
};

// One step without memory: what is kept has no part in what is sent.
Measured StepOf(const std::string& shapes, int ranks, uint32_t whole_limit = 1024) {
  const auto layout = BucketsOf(ShapesOf(shapes), 25 << 20);
  Measured measured;
  std::mutex mutex;
  RunRanks(
      ranks,
      [&](Transport& transport) {
        CountingTransport counting(&transport);
        std::unique_ptr<Collective> split;
        ASSERT_TRUE(MakeSplitCollective(&counting,
                                        {.ratio = 0.01,
                                         .whole_limit = whole_limit,
                                         .memory = {.name = "none"},
                                         .format = {.values = ValueFormat::kInt4}},
                                        1, &split)
                        .ok());
        double entries = 0;
        for (uint32_t b = 0; b < layout.size(); ++b) {
          std::vector<float> values(layout[b].back().offset + layout[b].back().count);
          RandomBits bits(static_cast<uint64_t>(transport.rank()) * 1009 + b);
          for (float& value : values) value = bits.Gradient();
          const Bucket bucket{.index = b, .values = values, .parameters = layout[b]};
          entries += static_cast<double>(split->compressor()->EntryCount(bucket));
          const Status status = split->AllReduceMean(bucket);
          ASSERT_TRUE(status.ok()) << status.message();
        }
        const std::lock_guard lock(mutex);
        measured.bytes += static_cast<double>(counting.exchanged_bytes()) / ranks;
        measured.entries = entries;
      },
      std::chrono::minutes(5));
  return measured;
}

// Bytes per entry of the law.
double PerEntry(const Measured& measured, int ranks) {
  return measured.bytes / (2 * measured.entries * (ranks - 1) / ranks);
}

TEST(Law, OfResNet50) {
  // With 2048 in the configuration of results/split_study, too.
  for (const uint32_t whole_limit : {1024u, 2048u}) {
    const double at_4 = PerEntry(StepOf("resnet50", 4, whole_limit), 4);
    for (int ranks : {8, 16}) {
      const Measured measured = StepOf("resnet50", ranks, whole_limit);
      std::printf("resnet50, parameters up to %u whole, %d ranks: %.0f bytes, %.4f of 4 ranks'\n",
                  whole_limit, ranks, measured.bytes, PerEntry(measured, ranks) / at_4);
      EXPECT_NEAR(PerEntry(measured, ranks) / at_4, 1, 0.05) << ranks << " ranks";
      EXPECT_LE(measured.bytes, ranks == 8 ? 800'000 : 900'000);
    }
  }
}

TEST(Law, OfResNet18UpTo64Ranks) {
  const Measured at_8 = StepOf("resnet18", 8);
  double before = at_8.bytes;
  for (int ranks : {16, 32, 64}) {
    const Measured measured = StepOf("resnet18", ranks);
    std::printf(
        "resnet18, %d ranks: %.0f bytes, %.4f of 8 ranks' per entry, %.3f of half the "
        "ranks' bytes\n",
        ranks, measured.bytes, PerEntry(measured, ranks) / PerEntry(at_8, 8),
        measured.bytes / before);
    EXPECT_NEAR(PerEntry(measured, ranks) / PerEntry(at_8, 8), 1, 0.05) << ranks << " ranks";
    EXPECT_LT(measured.bytes / before, 1.08) << ranks << " ranks";
    before = measured.bytes;
  }
}

}  // namespace
}  // namespace cddp

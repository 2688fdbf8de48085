#include "trainer/training_collective.h"

#include <gtest/gtest.h>

namespace cddp {
namespace {

// The last layer of SimpleCNN.
constexpr BucketParameter kLastLayer{.name = "fc2.weight", .offset = 0, .count = 1280};

size_t EntriesOf(const TrainOptions& options) {
  const auto transports = MakeInProcessTransports(1);
  const auto collective = MakeTrainingCollective(options, at::kCPU, 1, transports[0].get());
  return collective->compressor()->EntryCount(kLastLayer);
}

TEST(TrainingCollective, CompressesAsTheOptionsSay) {
  TrainOptions options{.compress = true, .ratio = 0.1, .memory = "residual", .values = "int4"};
  for (const char* collective : {"gather", "split"}) {
    options.collective = collective;
    options.whole_limit = 1279;
    EXPECT_EQ(EntriesOf(options), 128u) << collective;
    options.whole_limit = 1280;
    EXPECT_EQ(EntriesOf(options), 1280u) << collective;
  }
}

// Nothing is sent that could be timed, and dense steps would not compress.
TEST(TrainingCollective, OneWorkerCompressesWithAuto) {
  TrainOptions options{.compress = true, .memory = "residual", .collective = "auto"};
  const auto transports = MakeInProcessTransports(1);
  const auto collective = MakeTrainingCollective(options, at::kCPU, 1, transports[0].get());
  EXPECT_EQ(collective->name(), "gather");
}

}  // namespace
}  // namespace cddp

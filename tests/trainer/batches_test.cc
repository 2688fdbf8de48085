#include "trainer/batches.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "cddp/status.h"
#include "tests/trainer/data/pictures.h"
#include "trainer/data/image_samples.h"

namespace cddp {
namespace {

// On the CPU, whose memory is the device's here: the operators are the same everywhere.
TEST(BatchesTest, OfTheDeviceAreThoseOfTheHost) {
  for (const bool crop_flip : {false, true}) {
    for (const ImageLayout layout : {ImageLayout::kChannelsFirst, ImageLayout::kChannelsLast}) {
      for (const uint32_t channels : {1u, 3u}) {
        SCOPED_TRACE(fmt::format("crop {}, layout {}, {} channels", crop_flip,
                                 static_cast<int>(layout), channels));
        const auto samples = MakeImageSamples(
            Pictures(50, channels), {.crop_flip = crop_flip, .seed = 5, .layout = layout});
        // Of the last batch, samples 48 and 49, nothing is left for rank 2.
        const DistributedSampler sampler(50, 3, 2, 4, 9);
        const auto host = MakeHostBatches(samples, sampler, at::kCPU);
        const auto device = MakeDeviceBatches(samples, sampler, at::kCPU);
        for (const uint64_t epoch : {0u, 1u, 7u}) {
          const uint32_t first_step = epoch == 7 ? 2 : 0;
          host->StartEpoch(epoch, first_step);
          device->StartEpoch(epoch, first_step);
          for (uint32_t step = first_step; step < sampler.steps_per_epoch(); ++step) {
            const TensorBatch expected = host->Next();
            const TensorBatch got = device->Next();
            ASSERT_EQ(got.inputs.sizes(), expected.inputs.sizes());
            EXPECT_EQ(got.inputs.strides(), expected.inputs.strides());
            EXPECT_TRUE(torch::equal(got.inputs, expected.inputs)) << epoch << " " << step;
            EXPECT_TRUE(torch::equal(got.targets, expected.targets)) << epoch << " " << step;
          }
          EXPECT_THROW(device->Next(), StatusError);
        }
      }
    }
  }
}

// More than are uploaded at once, and fewer than there are; batches of which one, or several but
// not all, are made at once: 4096 images of this size.
TEST(BatchesTest, OfTheDeviceAreThoseThatTheSamplerDraws) {
  const auto samples = MakeImageSamples(Pictures(10'000, 1, 64), {.crop_flip = true, .seed = 5});
  for (const uint32_t size : {9'900u, 2'500u, 1'500u}) {
    const DistributedSampler sampler(9'900, 1, 0, size, 9);
    const auto host = MakeHostBatches(samples, sampler, at::kCPU);
    const auto device = MakeDeviceBatches(samples, sampler, at::kCPU);
    for (const uint32_t first_step : {0u, sampler.steps_per_epoch() / 3}) {
      host->StartEpoch(first_step, first_step);
      device->StartEpoch(first_step, first_step);
      for (uint32_t step = first_step; step < sampler.steps_per_epoch(); ++step) {
        const TensorBatch expected = host->Next();
        const TensorBatch got = device->Next();
        EXPECT_TRUE(torch::equal(got.inputs, expected.inputs)) << size << " " << step;
        EXPECT_TRUE(torch::equal(got.targets, expected.targets)) << size << " " << step;
      }
    }
  }
}

TEST(BatchesTest, OfTheDeviceNeedAnEpoch) {
  const auto samples = MakeImageSamples(Pictures(8), {});
  const auto batches = MakeDeviceBatches(samples, DistributedSampler(8, 1, 0, 4, 1), at::kCPU);
  EXPECT_THROW(batches->Next(), StatusError);
}

}  // namespace
}  // namespace cddp

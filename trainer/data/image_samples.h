// Images as samples: augmented and normalised.
#pragma once

#include <cstdint>
#include <memory>

#include "trainer/data/dataset.h"
#include "trainer/data/samples.h"

namespace cddp {

inline constexpr uint32_t kCropPadding = 4;  // pixels

struct ImageSampleOptions {
  // A crop of the image's own size at an even chance out of the image with kCropPadding
  // black pixels around it, and a mirror image in one of two cases, as is usual for
  // CIFAR-10 (He 2016, Deep residual learning for image recognition, section 4.2).
  bool crop_flip = false;
  uint64_t seed = 1;
  ImageLayout layout = ImageLayout::kChannelsFirst;
};

// Pixel x of a channel becomes x * (1 / (255 std)) - mean / std, in float without
// contraction: the same bits on every processor.
std::shared_ptr<const Samples> MakeImageSamples(ImageDataset data,
                                                const ImageSampleOptions& options);

}  // namespace cddp

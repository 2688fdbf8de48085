// Images as samples: augmented and normalised.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <utility>
#include <vector>

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

// What augmentation decides about a sample: pixel (row, col) of the crop is pixel
// (row + down, col + right) of the image, black outside; columns are mirrored then.
struct Crop {
  int down = 0;  // -kCropPadding to kCropPadding, as right
  int right = 0;
  bool mirrored = false;
};

// Pixel x of channel c becomes x * scale[c] - shift[c] = x * (1 / (255 std)) - mean / std, in
// float without contraction: the same bits on every processor.
class ImageSamples final : public Samples {
 public:
  ImageSamples(ImageDataset data, const ImageSampleOptions& options);

  void Make(std::span<const int64_t> numbers, uint64_t epoch, Batch* batch) const override;

  // What Make makes batches of, for devices that do it themselves.
  const ImageSamples* images() const override { return this; }
  const ImageDataset& data() const { return data_; }
  const std::vector<float>& scale() const { return scale_; }
  const std::vector<float>& shift() const { return shift_; }
  bool crops() const { return options_.crop_flip; }
  // Of an image that is cropped.
  Crop CropOf(uint64_t epoch, int64_t number) const;

 private:
  void CropAndFlip(const uint8_t* image, const Crop& crop, uint8_t* out) const;
  void Normalise(const uint8_t* image, float* out) const;

  const ImageDataset data_;
  const ImageSampleOptions options_;
  std::vector<float> scale_, shift_;
};

inline std::shared_ptr<const ImageSamples> MakeImageSamples(ImageDataset data,
                                                            const ImageSampleOptions& options) {
  return std::make_shared<const ImageSamples>(std::move(data), options);
}

}  // namespace cddp

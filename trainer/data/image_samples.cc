#include "trainer/data/image_samples.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "trainer/data/sample_random.h"

namespace cddp {
namespace {

SampleFormat FormatOf(const ImageDataset& data, ImageLayout layout) {
  return {.channels = data.channels,
          .rows = data.rows,
          .cols = data.cols,
          .layout = layout,
          .classes = data.classes};
}

}  // namespace

ImageSamples::ImageSamples(ImageDataset data, const ImageSampleOptions& options)
    : Samples(FormatOf(data, options.layout), data.count),
      data_(std::move(data)),
      options_(options) {
  for (uint32_t c = 0; c < data_.channels; ++c) {
    const double std = data_.std[c];
    scale_.push_back(static_cast<float>(1.0 / (255.0 * std)));
    shift_.push_back(static_cast<float>(data_.mean[c] / std));
  }
}

void ImageSamples::Make(std::span<const int64_t> numbers, uint64_t epoch, Batch* batch) const {
  const size_t volume = size_t{data_.channels} * data_.rows * data_.cols;
  batch->samples = static_cast<uint32_t>(numbers.size());
  batch->images.resize(numbers.size() * volume);
  batch->targets.resize(numbers.size());
  std::vector<uint8_t> augmented(options_.crop_flip ? volume : 0);
  for (size_t i = 0; i < numbers.size(); ++i) {
    const auto number = static_cast<size_t>(numbers[i]);
    const uint8_t* image = data_.pixels.data() + number * volume;
    if (options_.crop_flip) {
      CropAndFlip(image, CropOf(epoch, numbers[i]), augmented.data());
      image = augmented.data();
    }
    Normalise(image, batch->images.data() + i * volume);
    batch->targets[i] = data_.labels[number];
  }
}

Crop ImageSamples::CropOf(uint64_t epoch, int64_t number) const {
  SampleRandom random(options_.seed, epoch, static_cast<uint64_t>(number));
  constexpr auto kPadding = static_cast<int>(kCropPadding);
  Crop crop;
  crop.down = static_cast<int>(random.Below(2 * kCropPadding + 1)) - kPadding;
  crop.right = static_cast<int>(random.Below(2 * kCropPadding + 1)) - kPadding;
  crop.mirrored = random.Below(2) == 1;
  return crop;
}

void ImageSamples::CropAndFlip(const uint8_t* image, const Crop& crop, uint8_t* out) const {
  const auto rows = static_cast<int>(data_.rows);
  const auto cols = static_cast<int>(data_.cols);
  const auto [down, right, mirrored] = crop;
  // Columns of the crop that lie inside the image.
  const int begin = std::clamp(-right, 0, cols);
  const int end = std::clamp(cols - right, begin, cols);
  std::memset(out, 0, size_t{data_.channels} * data_.rows * data_.cols);
  for (uint32_t c = 0; c < data_.channels; ++c) {
    for (int row = std::max(0, -down); row < std::min(rows, rows - down); ++row) {
      const uint8_t* from = image + (row + down) * cols + right;
      uint8_t* to = out + row * cols;
      if (mirrored) {
        std::reverse_copy(from + begin, from + end, to + (cols - end));
      } else {
        std::copy(from + begin, from + end, to + begin);
      }
    }
    image += rows * cols;
    out += rows * cols;
  }
}

void ImageSamples::Normalise(const uint8_t* image, float* out) const {
  const size_t plane = size_t{data_.rows} * data_.cols;
  const bool last = format().layout == ImageLayout::kChannelsLast;
  const size_t stride = last ? data_.channels : 1;
  for (size_t c = 0; c < data_.channels; ++c) {
    const float scale = scale_[c];
    const float shift = shift_[c];
    const uint8_t* from = image + c * plane;
    float* to = out + (last ? c : c * plane);
    if (stride == 1) {
      for (size_t p = 0; p < plane; ++p) to[p] = static_cast<float>(from[p]) * scale - shift;
    } else {
      for (size_t p = 0; p < plane; ++p) {
        to[p * stride] = static_cast<float>(from[p]) * scale - shift;
      }
    }
  }
}

}  // namespace cddp

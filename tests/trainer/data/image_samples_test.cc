#include "trainer/data/image_samples.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <map>
#include <numeric>
#include <tuple>
#include <vector>

#include "tests/trainer/data/pictures.h"
#include "trainer/data/sample_random.h"
#include "trainer/sampler.h"

namespace cddp {
namespace {

std::vector<int64_t> Iota(int64_t count) {
  std::vector<int64_t> numbers(static_cast<size_t>(count));
  std::iota(numbers.begin(), numbers.end(), int64_t{0});
  return numbers;
}

std::vector<float> Image(const Batch& batch, size_t index) {
  const size_t volume = batch.images.size() / batch.samples;
  const float* begin = batch.images.data() + index * volume;
  return {begin, begin + volume};
}

float Normal(const ImageDataset& data, uint32_t channel, int pixel) {
  const double std = data.std[channel];
  return static_cast<float>(pixel) * static_cast<float>(1.0 / (255.0 * std)) -
         static_cast<float>(data.mean[channel] / std);
}

TEST(ImageSamplesTest, NormalisesEachChannelInBothLayouts) {
  const ImageDataset data = Pictures(3);
  const std::vector<int64_t> numbers = {2, 0};
  Batch first, last;
  MakeImageSamples(data, {})->Make(numbers, 0, &first);
  const auto channels_last = MakeImageSamples(data, {.layout = ImageLayout::kChannelsLast});
  EXPECT_EQ(channels_last->format().layout, ImageLayout::kChannelsLast);
  channels_last->Make(numbers, 0, &last);
  EXPECT_EQ(first.samples, 2u);
  EXPECT_EQ(first.targets, (std::vector<int64_t>{2, 0}));
  const uint32_t plane = data.rows * data.cols;
  ASSERT_EQ(first.images.size(), 2 * 3 * plane);
  ASSERT_EQ(last.images.size(), 2 * 3 * plane);
  for (size_t i = 0; i < 2; ++i) {
    for (uint32_t c = 0; c < 3; ++c) {
      for (uint32_t p = 0; p < plane; ++p) {
        const size_t image = static_cast<size_t>(numbers[i]);
        const float expected = Normal(data, c, data.pixels[(image * 3 + c) * plane + p]);
        ASSERT_EQ(first.images[(i * 3 + c) * plane + p], expected);
        ASSERT_EQ(last.images[(i * plane + p) * 3 + c], expected);
        ASSERT_NEAR(expected,
                    (data.pixels[(image * 3 + c) * plane + p] / 255.0 - data.mean[c]) / data.std[c],
                    1e-5);
      }
    }
  }
}

// What was done to an image: rows down, columns right, mirrored.
using Change = std::tuple<int, int, bool>;

// Independent of the code under test: looks each pixel up, until one differs, from the middle
// on, for at the edges all may be padding.
bool IsChanged(const ImageDataset& data, uint32_t number, const Change& change,
               const std::vector<float>& image) {
  const auto [down, right, flip] = change;
  const auto rows = static_cast<int>(data.rows);
  const auto cols = static_cast<int>(data.cols);
  for (uint32_t c = 0; c < data.channels; ++c) {
    for (int i = 0; i < rows; ++i) {
      const int y = (i + rows / 2) % rows;
      for (int j = 0; j < cols; ++j) {
        const int x = (j + cols / 2) % cols;
        const int from_y = y + down;
        const int from_x = (flip ? cols - 1 - x : x) + right;
        const bool inside = from_y >= 0 && from_y < rows && from_x >= 0 && from_x < cols;
        const auto at = [&](uint32_t plane, int row, int column) {
          return static_cast<size_t>((static_cast<int>(plane) * rows + row) * cols + column);
        };
        const int pixel = inside ? data.pixels[at(number * data.channels + c, from_y, from_x)] : 0;
        if (image[at(c, y, x)] != Normal(data, c, pixel)) return false;
      }
    }
  }
  return image.size() == size_t{data.channels} * data.rows * data.cols;
}

Change FindChange(const ImageDataset& data, uint32_t number, const std::vector<float>& image) {
  for (int down = -4; down <= 4; ++down) {
    for (int right = -4; right <= 4; ++right) {
      for (const bool flip : {false, true}) {
        if (IsChanged(data, number, {down, right, flip}, image)) return {down, right, flip};
      }
    }
  }
  ADD_FAILURE() << "image " << number << " is no crop of itself";
  return {};
}

TEST(ImageSamplesTest, CropsAndFlipsAreThoseOfThePaddedImageAndEven) {
  constexpr uint32_t kCount = 40;
  constexpr int kEpochs = 100;
  const ImageDataset data = Pictures(kCount);
  const auto samples = MakeImageSamples(data, {.crop_flip = true, .seed = 7});
  Batch batch;
  std::map<Change, int> seen;
  std::array<int, 9> downs{}, rights{};
  int flips = 0;
  for (int epoch = 0; epoch < kEpochs; ++epoch) {
    samples->Make(Iota(kCount), static_cast<uint64_t>(epoch), &batch);
    for (uint32_t i = 0; i < kCount; ++i) {
      const Change change = FindChange(data, i, Image(batch, i));
      ++seen[change];
      ++downs[static_cast<size_t>(std::get<0>(change) + 4)];
      ++rights[static_cast<size_t>(std::get<1>(change) + 4)];
      flips += std::get<2>(change);
    }
  }
  EXPECT_EQ(seen.size(), 9u * 9 * 2) << "every crop occurs";
  // 4,000 draws: bounds of five standard deviations.
  constexpr double kDraws = kCount * kEpochs;
  EXPECT_NEAR(flips, kDraws / 2, 5 * std::sqrt(kDraws / 4));
  for (size_t i = 0; i < 9; ++i) {
    EXPECT_NEAR(downs[i], kDraws / 9, 5 * std::sqrt(kDraws * 8 / 81)) << i;
    EXPECT_NEAR(rights[i], kDraws / 9, 5 * std::sqrt(kDraws * 8 / 81)) << i;
  }
  // Chi-squared of 162 cells has mean 161 and variance 322.
  double chi_squared = 0;
  for (const auto& [change, count] : seen) {
    const double expected = kDraws / 162;
    chi_squared += (count - expected) * (count - expected) / expected;
  }
  EXPECT_NEAR(chi_squared, 161, 5 * std::sqrt(322.0));
}

TEST(ImageSamplesTest, ImagesSmallerThanThePaddingStayInside) {
  const ImageDataset data = Pictures(20, 1, 2);  // 2 x 3 pixels
  const auto samples = MakeImageSamples(data, {.crop_flip = true});
  Batch batch;
  for (uint64_t epoch = 0; epoch < 20; ++epoch) {
    samples->Make(Iota(20), epoch, &batch);
    for (uint32_t i = 0; i < 20; ++i) FindChange(data, i, Image(batch, i));
  }
}

// The images of an epoch, by number, as the workers of a world get them.
std::map<int64_t, std::vector<float>> ImagesOfEpoch(const Samples& samples, int world,
                                                    uint32_t batch_size, uint64_t epoch) {
  std::map<int64_t, std::vector<float>> images;
  Batch batch;
  for (int rank = 0; rank < world; ++rank) {
    DistributedSampler sampler(samples.count(), world, rank, batch_size, 1);
    sampler.SetEpoch(epoch);
    for (uint32_t step = 0; step < sampler.steps_per_epoch(); ++step) {
      const auto numbers = sampler.Batch(step);
      samples.Make(numbers, epoch, &batch);
      for (size_t i = 0; i < numbers.size(); ++i) images[numbers[i]] = Image(batch, i);
    }
  }
  return images;
}

TEST(ImageSamplesTest, AugmentationDependsOnSeedEpochAndNumberAlone) {
  const ImageDataset data = Pictures(50);
  const auto samples = MakeImageSamples(data, {.crop_flip = true, .seed = 7});
  const auto one = ImagesOfEpoch(*samples, 1, 8, 3);
  EXPECT_EQ(one.size(), 50u);
  for (const int world : {2, 3, 8}) EXPECT_EQ(ImagesOfEpoch(*samples, world, 5, 3), one) << world;
  EXPECT_NE(ImagesOfEpoch(*samples, 1, 8, 4), one);
  EXPECT_NE(ImagesOfEpoch(*MakeImageSamples(data, {.crop_flip = true, .seed = 8}), 1, 8, 3), one);
}

}  // namespace
}  // namespace cddp

// A data set of random images.
#pragma once

#include <cstdint>

#include "trainer/data/dataset.h"
#include "trainer/data/sample_random.h"

namespace cddp {

// No two pixels of an image are alike in position and colour: a byte is a hash of both.
inline ImageDataset Pictures(uint32_t count, uint32_t channels = 3, uint32_t side = 8) {
  ImageDataset data{.count = count, .channels = channels, .rows = side};
  data.cols = side + 1;
  data.classes = 10;
  for (uint32_t c = 0; c < channels; ++c) {
    data.mean.push_back(0.4f + 0.05f * static_cast<float>(c));
    data.std.push_back(0.2f + 0.01f * static_cast<float>(c));
  }
  SampleRandom random(1, 2, 3);
  for (uint32_t i = 0; i < count; ++i) {
    data.labels.push_back(static_cast<uint8_t>(i % 10));
    for (uint32_t p = 0; p < channels * side * (side + 1); ++p) {
      data.pixels.push_back(static_cast<uint8_t>(1 + random.Below(255)));  // 0 is padding
    }
  }
  return data;
}

}  // namespace cddp

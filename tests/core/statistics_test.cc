// What a compressor counts.
#include <gtest/gtest.h>

#include <cmath>

#include "cddp/compressor.h"
#include "cddp/frame.h"
#include "tests/core/generators.h"
#include "tests/core/owned_bucket.h"

namespace cddp {
namespace {

OwnedBucket UniformBucket(uint32_t seed) {
  OwnedBucket bucket(0, {100, 5});
  bucket.values = ValuesOf({Pattern::kUniform, seed, bucket.values.size()});
  return bucket;
}

TEST(Compressor, Statistics) {
  std::unique_ptr<Compressor> compressor;
  ASSERT_TRUE(Compressor::Create({.ratio = 0.1, .whole_limit = 5, .format = {IndexFormat::kRaw32}},
                                 &compressor)
                  .ok());

  std::vector<std::byte> frame;
  uint64_t bytes = 0;
  for (uint64_t step = 0; step < 3; ++step) {
    OwnedBucket bucket = UniformBucket(static_cast<uint32_t>(step));
    if (step == 1) bucket.values[50] = std::nanf("");
    ASSERT_TRUE(compressor->Compress(bucket.At(step), 0, &frame).ok());
    EXPECT_EQ(frame.size(), step == 1 ? 41u : 43u + 8 * 15);
    bytes += frame.size();
    compressor->EndStep(step != 1);
  }
  const CompressionStatistics& statistics = compressor->statistics();
  EXPECT_EQ(statistics.elements, 3u * 105);
  EXPECT_EQ(statistics.entries, 2u * 15) << "the non-finite frame has none";
  EXPECT_EQ(statistics.bytes_out, bytes);
  EXPECT_EQ(statistics.selections, 3u) << "one parameter is selected from, one goes whole";
}

}  // namespace
}  // namespace cddp

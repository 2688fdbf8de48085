// From a bucket to a frame.
#include "cddp/compressor.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>

#include "cddp/frame.h"
#include "core/oracle.h"
#include "tests/core/frame_bytes.h"
#include "tests/core/generators.h"
#include "tests/core/owned_bucket.h"

namespace cddp {
namespace {

std::unique_ptr<Compressor> CreateCompressor(const CompressorOptions& options) {
  std::unique_ptr<Compressor> compressor;
  EXPECT_TRUE(Compressor::Create(options, &compressor).ok());
  return compressor;
}

std::vector<uint32_t> IndicesOf(const FrameBytes& frame) {
  FrameView view;
  const FrameId id{.step = Fetch<uint64_t>(frame, 8),
                   .bucket = Fetch<uint16_t>(frame, 16),
                   .rank = Fetch<uint16_t>(frame, 18),
                   .elements = Fetch<uint32_t>(frame, 20)};
  Selection entries;
  EXPECT_TRUE(DecodeFrame(frame, id, id.elements, &view, &entries).ok());
  return entries.indices;
}

OwnedBucket RandomBucket(uint32_t index, const std::vector<uint32_t>& counts, uint32_t seed) {
  OwnedBucket bucket(index, counts);
  bucket.values = ValuesOf({Pattern::kUniform, seed, bucket.values.size()});
  return bucket;
}

TEST(Compressor, EntryCount) {
  const auto compressor = CreateCompressor({.ratio = 0.1, .whole_limit = 10});
  EXPECT_EQ(compressor->EntryCount(OwnedBucket(0, {}).At(0)), 0u);
  EXPECT_EQ(compressor->EntryCount(OwnedBucket(0, {9}).At(0)), 9u);
  EXPECT_EQ(compressor->EntryCount(OwnedBucket(0, {10}).At(0)), 10u);
  EXPECT_EQ(compressor->EntryCount(OwnedBucket(0, {11}).At(0)), 2u);
  EXPECT_EQ(compressor->EntryCount(OwnedBucket(0, {100, 3, 0, 101}).At(0)), 10u + 3 + 0 + 11);
}

TEST(Compressor, SelectsPerParameter) {
  const auto compressor = CreateCompressor({.ratio = 0.1, .whole_limit = 4});
  OwnedBucket bucket = RandomBucket(3, {50, 4, 120, 1}, 1);
  for (size_t i = 54; i < 174; ++i) bucket.values[i] *= 1e-6f;  // would lose against the others
  FrameBytes frame;
  ASSERT_TRUE(compressor->Compress(bucket.At(9), 6, &frame).ok());

  Selection want;
  std::vector<size_t> run_ends;
  for (const BucketParameter& p : bucket.parameters) {
    const size_t k = p.count <= 4 ? p.count : SelectionCount(p.count, 0.1);
    const Selection part =
        SelectTopKOracle(std::span(bucket.values).subspan(p.offset, p.count), k, p.offset);
    want.indices.insert(want.indices.end(), part.indices.begin(), part.indices.end());
    want.values.insert(want.values.end(), part.values.begin(), part.values.end());
    run_ends.push_back(want.size());
  }
  FrameBytes wanted;
  ASSERT_TRUE(EncodeFrame({}, {.step = 9, .bucket = 3, .rank = 6, .elements = 175}, run_ends, false,
                          &want, &wanted)
                  .ok());
  EXPECT_EQ(frame, wanted);
}

TEST(Compressor, SmallParametersGoWhole) {
  const auto compressor = CreateCompressor({.ratio = 0.01, .whole_limit = 5});
  OwnedBucket bucket(0, {5, 6});
  FrameBytes frame;
  ASSERT_TRUE(compressor->Compress(bucket.At(0), 0, &frame).ok());
  EXPECT_EQ(IndicesOf(frame), (std::vector<uint32_t>{0, 1, 2, 3, 4, 5})) << "zeros included";
}

// Only parameters that were sent whole may be forgotten.
TEST(Compressor, MemoryOfEachParameterLosesItsOwnEntries) {
  const auto compressor = CreateCompressor({.ratio = 0.25, .whole_limit = 2});
  OwnedBucket bucket(0, {4, 2, 4});
  bucket.values = {1, 9, 2, 3, 5, 6, 4, 1, 2, 3};
  FrameBytes frame;
  ASSERT_TRUE(compressor->Compress(bucket.At(0), 0, &frame).ok());
  compressor->EndStep(true);
  EXPECT_EQ(compressor->memory().Save(), (MemoryState{{"bucket0.parameter0", {1, 0, 2, 3}},
                                                      {"bucket0.parameter1", {0, 0}},
                                                      {"bucket0.parameter2", {0, 1, 2, 3}}}));
}

TEST(Compressor, NonFiniteGradientGivesAFrameThatSaysSo) {
  for (float bad : {std::nanf(""), std::numeric_limits<float>::infinity(),
                    -std::numeric_limits<float>::infinity()}) {
    for (size_t position : {0, 10, 49, 52, 149}) {
      const auto compressor = CreateCompressor({.ratio = 0.1, .whole_limit = 4});
      OwnedBucket bucket = RandomBucket(1, {50, 4, 96}, 5);
      FrameBytes frame;
      ASSERT_TRUE(compressor->Compress(bucket.At(0), 2, &frame).ok());
      compressor->EndStep(true);
      const MemoryState before = compressor->memory().Save();

      bucket.values[position] = bad;
      ASSERT_TRUE(compressor->Compress(bucket.At(1), 2, &frame).ok());
      EXPECT_EQ(frame, FrameOf({.step = 1, .bucket = 1, .rank = 2, .elements = 150}, {}, true));
      compressor->EndStep(false);
      const MemoryState after = compressor->memory().Save();
      ASSERT_EQ(after.size(), before.size());
      for (const auto& [parameter, values] : after) {
        EXPECT_TRUE(SameBits(values, before.at(parameter))) << parameter << ", " << position;
      }
    }
  }
}

// A finite bucket of a step that another bucket or rank voids.
TEST(Compressor, VoidStepIsAsIfItHadNotBeen) {
  const auto compressor = CreateCompressor({.ratio = 0.1, .whole_limit = 4});
  const auto reference = CreateCompressor({.ratio = 0.1, .whole_limit = 4});
  FrameBytes frame;
  FrameBytes want;
  for (uint64_t step = 0; step < 20; ++step) {
    OwnedBucket bucket = RandomBucket(0, {80, 3}, static_cast<uint32_t>(step));
    ASSERT_TRUE(compressor->Compress(bucket.At(step), 0, &frame).ok());
    const bool commit = step % 3 != 1;
    compressor->EndStep(commit);
    if (!commit) continue;
    ASSERT_TRUE(reference->Compress(bucket.At(step), 0, &want).ok());
    reference->EndStep(true);
    EXPECT_EQ(frame, want) << step;
  }
}

TEST(Compressor, EmptyBucket) {
  const auto compressor = CreateCompressor({});
  FrameBytes frame;
  ASSERT_TRUE(compressor->Compress(OwnedBucket(0, {}).At(4), 0, &frame).ok());
  EXPECT_EQ(frame, FrameOf({.step = 4}, {}));
}

TEST(Compressor, RefusalsComeThrough) {
  const auto compressor = CreateCompressor({});
  FrameBytes frame;
  EXPECT_EQ(compressor->Compress(OwnedBucket(65536, {3}).At(0), 0, &frame).code(),
            StatusCode::kInvalidArgument);
  const auto other = CreateCompressor({});
  ASSERT_TRUE(other->Compress(OwnedBucket(0, {3}).At(0), 0, &frame).ok());
  other->EndStep(true);
  EXPECT_EQ(other->Compress(OwnedBucket(0, {4}).At(1), 0, &frame).code(),
            StatusCode::kInvalidArgument);
}

TEST(Compressor, Factory) {
  std::unique_ptr<Compressor> compressor;
  const Status selector = Compressor::Create({.selector = {.name = "best"}}, &compressor);
  EXPECT_EQ(selector.code(), StatusCode::kInvalidArgument);
  EXPECT_NE(selector.message().find("topk"), std::string::npos) << selector.message();
  const Status memory = Compressor::Create({.memory = {.name = "best"}}, &compressor);
  EXPECT_EQ(memory.code(), StatusCode::kInvalidArgument);
  EXPECT_NE(memory.message().find("residual"), std::string::npos) << memory.message();
  EXPECT_EQ(compressor, nullptr);
  ASSERT_TRUE(Compressor::Create({}, &compressor).ok());
  EXPECT_EQ(std::as_const(*compressor).memory().name(), "residual");
}

}  // namespace
}  // namespace cddp

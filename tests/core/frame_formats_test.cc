// Frames in every combination of codecs: round trips, bounds of their size, and what
// the issue of the wire promises of a frame of ResNet-50's size.
#include <gtest/gtest.h>

#include <cmath>

#include "cddp/compressor.h"
#include "tests/add_entries.h"
#include "tests/core/frame_bytes.h"
#include "tests/core/generators.h"
#include "tests/core/owned_bucket.h"

namespace cddp {
namespace {

constexpr IndexFormat kIndexFormats[] = {IndexFormat::kAuto,       IndexFormat::kRaw32,
                                         IndexFormat::kRice,       IndexFormat::kBitmap,
                                         IndexFormat::kRiceAbsent, IndexFormat::kRiceBlocks};
constexpr ValueFormat kValueFormats[] = {ValueFormat::kFp32, ValueFormat::kBf16,
                                         ValueFormat::kFp16, ValueFormat::kInt8,
                                         ValueFormat::kInt4, ValueFormat::kSign};

TEST(FrameFormats, RoundTrip) {
  EXPECT_TRUE(HoldsFor(Cases(5'000), [] {
    RandomBits bits(*rc::gen::resize(100, rc::gen::arbitrary<uint32_t>()));
    const auto elements = static_cast<uint32_t>(bits.Below(3'000));
    const uint64_t one_in = 1 + bits.Below(20);
    Selection selection;
    std::vector<size_t> run_ends;
    for (uint32_t i = 0; i < elements; ++i) {
      if (bits.Below(one_in) == 0) {
        selection.indices.push_back(i);
        selection.values.push_back(OneValue(Pattern::kRawFinite, bits));
      }
      if (bits.Below(300) == 0) run_ends.push_back(selection.size());
    }
    run_ends.push_back(selection.size());
    const FrameId id{.step = bits(), .bucket = 3, .rank = 4, .elements = elements};
    for (IndexFormat indices : kIndexFormats) {
      for (ValueFormat values : kValueFormats) {
        const FrameFormat format{indices, values, bits.Below(2) == 0, bits()};
        Selection encoded = selection;
        FrameBytes frame;
        RC_ASSERT(EncodeFrame(format, id, run_ends, false, &encoded, &frame).ok());
        RC_ASSERT(frame.size() <=
                  MaxFrameBytes(format, elements, selection.size(), run_ends.size()));
        RC_ASSERT(frame.size() <=
                  MaxFrameBytes(format, elements, selection.size() + 5, run_ends.size() + 2));
        RC_ASSERT(encoded.indices == selection.indices);
        FrameView view;
        Selection decoded;
        RC_ASSERT(DecodeFrame(frame, id, selection.size(), &view, &decoded).ok());
        RC_ASSERT(decoded.indices == selection.indices);
        RC_ASSERT(SameBits(decoded.values, encoded.values));
      }
    }
  }));
}

// A block's scale never mixes two parameters.
TEST(FrameFormats, SmallParametersKeepTheirScale) {
  Selection selection;
  for (uint32_t i = 0; i < 40; ++i) {
    selection.indices.push_back(i);
    selection.values.push_back(i < 20 ? 1000.0f + static_cast<float>(i) : 1e-3f);
  }
  const std::vector<size_t> run_ends = {20, 40};
  for (ValueFormat values : {ValueFormat::kInt8, ValueFormat::kInt4, ValueFormat::kSign}) {
    Selection encoded = selection;
    FrameBytes frame;
    ASSERT_TRUE(
        EncodeFrame({.values = values}, {.elements = 40}, run_ends, false, &encoded, &frame).ok());
    for (size_t i = 20; i < 40; ++i) EXPECT_NEAR(encoded.values[i] / 1e-3f, 1.0f, 0x1p-7f);
  }
}

TEST(FrameFormats, OnePercentOfResNet50) {
  constexpr uint32_t kElements = 25'557'032;
  constexpr uint32_t kEntries = 255'571;
  RandomBits bits(1);
  Selection selection;
  for (uint32_t i = 0, wanted = kEntries; i < kElements; ++i) {
    if (bits.Below(kElements - i) >= wanted) continue;
    --wanted;
    selection.indices.push_back(i);
    selection.values.push_back(bits.Gradient());
  }
  std::vector<size_t> run_ends;  // of the 54 parameters that are not small
  for (size_t run = 1; run <= 54; ++run) run_ends.push_back(kEntries * run / 54);
  const auto bytes = [&](ValueFormat values) {
    Selection encoded = selection;
    FrameBytes frame;
    EXPECT_TRUE(
        EncodeFrame({.values = values}, {.elements = kElements}, run_ends, false, &encoded, &frame)
            .ok());
    return frame.size();
  };
  EXPECT_LE(bytes(ValueFormat::kInt4), 400'000u);
  EXPECT_LE(bytes(ValueFormat::kInt4) * 255, 4u * kElements);
  EXPECT_LE(bytes(ValueFormat::kBf16), 790'000u);
}

TEST(FrameFormats, StochasticRoundingFollowsSeedStepBucketAndRank) {
  const Selection selection{.indices = {0, 1, 2, 3, 4, 5, 6, 7},
                            .values = {1, 2, 3.3f, 4.4f, 5.5f, 6.6f, 7.7f, 9}};
  const auto values = [&](uint64_t seed, const FrameId& id) {
    const FrameBytes frame = FrameOf(
        id, selection, false, {.values = ValueFormat::kInt4, .stochastic = true, .seed = seed});
    return FrameBytes(frame.end() - 4, frame.end());
  };
  const FrameBytes some = values(1, {.step = 1, .bucket = 1, .rank = 1, .elements = 8});
  EXPECT_EQ(values(1, {.step = 1, .bucket = 1, .rank = 1, .elements = 8}), some);
  int same = 0;
  for (uint32_t n = 2; n < 12; ++n) {
    same += values(n, {.step = 1, .bucket = 1, .rank = 1, .elements = 8}) == some;
    same += values(1, {.step = n, .bucket = 1, .rank = 1, .elements = 8}) == some;
    same += values(1, {.step = 1, .bucket = n, .rank = 1, .elements = 8}) == some;
    same += values(1, {.step = 1, .bucket = 1, .rank = n, .elements = 8}) == some;
  }
  EXPECT_LT(same, 12) << "of 40";
}

// Chances belong to an entry, not to its place in a block.
TEST(FrameFormats, BlocksDrawTheirOwnChances) {
  Selection selection;
  for (uint32_t i = 0; i < 512; ++i) {
    selection.indices.push_back(i);
    selection.values.push_back(1.0f + 0.013f * static_cast<float>(i % 256));
  }
  const std::vector<size_t> run_ends = {256, 512};
  FrameBytes frame;
  ASSERT_TRUE(EncodeFrame({.values = ValueFormat::kInt4, .stochastic = true}, {.elements = 512},
                          run_ends, false, &selection, &frame)
                  .ok());
  const std::vector<float> first(selection.values.begin(), selection.values.begin() + 256);
  const std::vector<float> second(selection.values.begin() + 256, selection.values.end());
  EXPECT_NE(first, second);
}

// What the codec rounded away stays in the memory, up to the rounding of one sum.
TEST(FrameFormats, QuantisationErrorStaysInTheMemory) {
  for (const char* memory : {"residual", "dgc"}) {
    for (ValueFormat values : kValueFormats) {
      std::unique_ptr<Compressor> compressor;
      ASSERT_TRUE(Compressor::Create({.ratio = 0.1,
                                      .whole_limit = 16,
                                      .memory = {.name = memory},
                                      .format = {.values = values}},
                                     &compressor)
                      .ok());
      OwnedBucket bucket(0, {10, 3'000});
      bucket.values = ValuesOf({Pattern::kUniform, 5, bucket.values.size()});
      FrameBytes frame;
      ASSERT_TRUE(compressor->Compress(bucket.At(0), 0, &frame).ok());
      compressor->EndStep(true);
      FrameView view;
      Selection entries;
      ASSERT_TRUE(DecodeFrame(frame, {.elements = 3'010}, 310, &view, &entries).ok());
      std::vector<float> sent(3'010, 0.0f);
      AddEntries(entries, &sent);
      const MemoryState state = compressor->memory().Save();
      const std::string suffix = std::string(memory) == "dgc" ? "/residual" : "";
      float kept_of_sent = 0;
      for (const BucketParameter& parameter : bucket.parameters) {
        const std::vector<float>& kept = state.at(parameter.name + suffix);
        for (uint32_t i = 0; i < parameter.count; ++i) {
          const float gradient = bucket.values[parameter.offset + i];
          const float decoded = sent[parameter.offset + i];
          ASSERT_NEAR(decoded + kept[i], gradient,
                      (std::abs(gradient) + std::abs(decoded)) * 0x1p-24f);
          if (decoded != 0) kept_of_sent += std::abs(kept[i]);
        }
      }
      EXPECT_EQ(kept_of_sent > 0, values != ValueFormat::kFp32);
    }
  }
}

}  // namespace
}  // namespace cddp

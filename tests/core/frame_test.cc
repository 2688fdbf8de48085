// The frame's layout and what it carries.
#include "cddp/frame.h"

#include <gtest/gtest.h>

#include "tests/core/frame_bytes.h"
#include "tests/core/generators.h"

namespace cddp {
namespace {

TEST(Frame, WorkedExample) {
  const FrameBytes frame =
      FrameOf({.step = 0x0102030405060708u, .bucket = 0x1112, .rank = 0x2122, .elements = 0x3132},
              {.indices = {1, 0x3131}, .values = {1.0f, -2.5f}});
  const std::vector<uint8_t> before_checksum = {
      'C',  'D',  'D',  'F',                           // magic
      1,    0,    0,    0,                             // version, codecs, flags
      0x08, 0x07, 0x06, 0x05, 0x04, 0x03, 0x02, 0x01,  // step
      0x12, 0x11, 0x22, 0x21,                          // bucket, rank
      0x32, 0x31, 0,    0,                             // elements
      2,    0,    0,    0,                             // entries
      16,   0,    0,    0,                             // bytes after the header
  };
  const std::vector<uint8_t> after_checksum = {
      1, 0, 0,    0,    0x31, 0x31, 0,    0,     // indices
      0, 0, 0x80, 0x3f, 0,    0,    0x20, 0xc0,  // values
  };
  ASSERT_EQ(before_checksum.size(), 32u);
  ASSERT_EQ(frame.size(), 56u);
  for (size_t i = 0; i < 32; ++i) EXPECT_EQ(uint8_t(frame[i]), before_checksum[i]) << i;
  for (size_t i = 0; i < 16; ++i) EXPECT_EQ(uint8_t(frame[40 + i]), after_checksum[i]) << i;

  const uint64_t seed = XXH3_64bits(before_checksum.data(), 32);
  EXPECT_EQ(Fetch<uint64_t>(frame, 32), XXH3_64bits_withSeed(after_checksum.data(), 16, seed));
}

TEST(Frame, HeaderIsFortyBytes) {
  EXPECT_EQ(kFrameHeaderBytes, 40u);
  EXPECT_EQ(MaxFrameBytes(0), 40u);
  EXPECT_EQ(MaxFrameBytes(1'000), 8'040u);
  EXPECT_EQ(FrameOf({.elements = 5}, {}).size(), 40u);
}

TEST(Frame, RoundTrip) {
  for (size_t entries = 0; entries <= 100; ++entries) {
    Selection selection;
    selection.values = ValuesOf({Pattern::kRawFinite, static_cast<uint32_t>(entries), entries});
    for (size_t i = 0; i < entries; ++i) {
      selection.indices.push_back(static_cast<uint32_t>(i * i + i));
    }
    const FrameId id{.step = ~uint64_t{0} - entries, .bucket = 7, .rank = 65535, .elements = 20000};
    Selection encoded = selection;
    FrameBytes frame(13, std::byte{0xee});  // is replaced
    ASSERT_TRUE(EncodeFrame(id, false, &encoded, &frame).ok());
    EXPECT_EQ(encoded.indices, selection.indices);
    EXPECT_TRUE(SameBits(encoded.values, selection.values)) << "the codec is fp32";

    FrameView view;
    ASSERT_TRUE(ValidateFrame(frame, id, entries, &view).ok());
    EXPECT_EQ(view.id.step, id.step);
    EXPECT_EQ(view.id.bucket, id.bucket);
    EXPECT_EQ(view.id.rank, id.rank);
    EXPECT_EQ(view.id.elements, id.elements);
    EXPECT_FALSE(view.non_finite);
    ASSERT_EQ(view.entries, entries);

    std::vector<float> dense(20000, 0.0f);
    std::vector<float> want(20000, 0.0f);
    DecodeAdd(view, dense);
    for (size_t i = 0; i < entries; ++i) want[selection.indices[i]] += selection.values[i];
    EXPECT_EQ(dense, want);
  }
}

TEST(Frame, DecodeAdds) {
  const FrameId id{.elements = 4};
  const FrameBytes frame = FrameOf(id, {.indices = {0, 3}, .values = {1.5f, -2.0f}});
  FrameView view;
  ASSERT_TRUE(ValidateFrame(frame, id, 2, &view).ok());
  std::vector<float> dense = {10.0f, 20.0f, 30.0f, 40.0f};
  DecodeAdd(view, dense);
  DecodeAdd(view, dense);
  EXPECT_EQ(dense, (std::vector<float>{13.0f, 20.0f, 30.0f, 36.0f}));
}

TEST(Frame, NonFiniteFlag) {
  const FrameId id{.step = 1, .bucket = 2, .rank = 3, .elements = 4};
  const FrameBytes frame = FrameOf(id, {}, /*non_finite=*/true);
  ASSERT_EQ(frame.size(), 40u);
  EXPECT_EQ(frame[7], std::byte{1});
  FrameView view;
  ASSERT_TRUE(ValidateFrame(frame, id, 4, &view).ok());
  EXPECT_TRUE(view.non_finite);
  EXPECT_EQ(view.entries, 0u);
}

TEST(Frame, NumbersThatDoNotFitAreRefused) {
  Selection selection;
  FrameBytes frame;
  EXPECT_TRUE(EncodeFrame({.bucket = 65535, .rank = 65535}, false, &selection, &frame).ok());
  for (const FrameId& id : {FrameId{.bucket = 65536}, FrameId{.rank = 65536},
                            FrameId{.bucket = 0xffffffffu}, FrameId{.rank = 0x10001}}) {
    const Status status = EncodeFrame(id, false, &selection, &frame);
    EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
    EXPECT_NE(status.message().find("65535"), std::string::npos) << status.message();
  }
}

TEST(Frame, LengthOfAFrameInALongerBuffer) {
  FrameBytes bytes = FrameOf({.elements = 9}, {.indices = {2, 5}, .values = {1.0f, 2.0f}});
  size_t length = 0;
  ASSERT_TRUE(FrameLength(bytes, &length).ok());
  EXPECT_EQ(length, 56u);
  bytes.resize(500, std::byte{0x55});
  ASSERT_TRUE(FrameLength(bytes, &length).ok());
  EXPECT_EQ(length, 56u);

  EXPECT_EQ(FrameLength(std::span(bytes).first(55), &length).code(), StatusCode::kCorrupt);
  EXPECT_EQ(FrameLength(std::span(bytes).first(39), &length).code(), StatusCode::kCorrupt);
  EXPECT_EQ(FrameLength({}, &length).code(), StatusCode::kCorrupt);
  Store<uint32_t>(&bytes, 28, 0xffffffffu);
  EXPECT_EQ(FrameLength(bytes, &length).code(), StatusCode::kCorrupt);
}

}  // namespace
}  // namespace cddp

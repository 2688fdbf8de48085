// The frame's layout and what it carries.
#include "cddp/frame.h"

#include <gtest/gtest.h>

#include <fstream>
#include <sstream>
#include <string>

#include "core/frame_layout.h"
#include "tests/core/frame_bytes.h"
#include "tests/core/generators.h"

namespace cddp {
namespace {

// The bytes that docs/wire_format.md shows.
FrameBytes DocumentedExample() {
  std::ifstream document(CDDP_SOURCE "/docs/wire_format.md");
  FrameBytes bytes;
  std::string line;
  while (std::getline(document, line) && line != "```hex") {
  }
  while (std::getline(document, line) && line != "```") {
    std::istringstream words(line.substr(0, line.find("   ")));
    for (std::string word; words >> word;) {
      bytes.push_back(static_cast<std::byte>(std::stoi(word, nullptr, 16)));
    }
  }
  return bytes;
}

TEST(Frame, WorkedExample) {
  const FrameId id{.step = 258, .bucket = 1, .rank = 3, .elements = 1000};
  Selection selection{.indices = {2, 3, 500, 999}, .values = {1.0f, -2.0f, 8.0f, -0.5f}};
  const std::vector<float> values = selection.values;
  const std::vector<size_t> run_ends = {3, 4};
  FrameBytes frame;
  ASSERT_TRUE(EncodeFrame({.indices = IndexFormat::kRice, .values = ValueFormat::kInt4}, id,
                          run_ends, false, &selection, &frame)
                  .ok());
  const FrameBytes documented = DocumentedExample();
  ASSERT_EQ(documented.size(), 60u);
  EXPECT_EQ(frame, documented);
  EXPECT_EQ(selection.values, values) << "levels 0, 1 and 7 of steps of 1";

  FrameView view;
  Selection decoded;
  ASSERT_TRUE(DecodeFrame(documented, id, 4, &view, &decoded).ok());
  EXPECT_EQ(decoded.indices, selection.indices);
  EXPECT_EQ(decoded.values, values);
}

TEST(Frame, HeaderIsFortyBytes) {
  EXPECT_EQ(kFrameHeaderBytes, 40u);
  EXPECT_EQ(FrameOf({.elements = 5}, {}).size(), 41u);
  EXPECT_EQ(FrameOf({.elements = 5}, {.indices = {3}, .values = {1.0f}}, false, kRawFormat).size(),
            50u);
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
    ASSERT_TRUE(EncodeFrame({}, id, std::vector{entries}, false, &encoded, &frame).ok());
    EXPECT_EQ(encoded.indices, selection.indices);
    EXPECT_TRUE(SameBits(encoded.values, selection.values)) << "the codec is fp32";

    FrameView view;
    Selection decoded;
    ASSERT_TRUE(DecodeFrame(frame, id, entries, &view, &decoded).ok());
    EXPECT_EQ(view.id.step, id.step);
    EXPECT_EQ(view.id.bucket, id.bucket);
    EXPECT_EQ(view.id.rank, id.rank);
    EXPECT_EQ(view.id.elements, id.elements);
    EXPECT_FALSE(view.non_finite);
    ASSERT_EQ(view.entries, entries);
    EXPECT_EQ(decoded.indices, selection.indices);
    EXPECT_TRUE(SameBits(decoded.values, selection.values));
  }
}

TEST(Frame, FormatsByName) {
  for (const std::string& name : IndexFormatNames()) {
    IndexFormat format;
    EXPECT_TRUE(ParseIndexFormat(name, &format).ok()) << name;
  }
  for (const std::string& name : ValueFormatNames()) {
    ValueFormat format;
    EXPECT_TRUE(ParseValueFormat(name, &format).ok()) << name;
  }
  ValueFormat format;
  const Status status = ParseValueFormat("int3", &format);
  EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
  EXPECT_NE(status.message().find("\"int3\"; known: fp32, bf16, fp16, int8, int4, sign"),
            std::string::npos)
      << status.message();
  IndexFormat indices;
  EXPECT_EQ(ParseIndexFormat("", &indices).code(), StatusCode::kInvalidArgument);
}

TEST(Frame, NonFiniteFlag) {
  const FrameId id{.step = 1, .bucket = 2, .rank = 3, .elements = 4};
  const FrameBytes frame = FrameOf(id, {}, /*non_finite=*/true);
  ASSERT_EQ(frame.size(), 41u);
  EXPECT_EQ(frame[7], std::byte{1});
  FrameView view;
  ASSERT_TRUE(ValidateFrame(frame, id, 4, &view).ok());
  EXPECT_TRUE(view.non_finite);
  EXPECT_EQ(view.entries, 0u);
}

TEST(Frame, NumbersThatDoNotFitAreRefused) {
  Selection selection;
  FrameBytes frame;
  EXPECT_TRUE(
      EncodeFrame({}, {.bucket = 65535, .rank = 65535}, {}, false, &selection, &frame).ok());
  for (const FrameId& id : {FrameId{.bucket = 65536}, FrameId{.rank = 65536},
                            FrameId{.bucket = 0xffffffffu}, FrameId{.rank = 0x10001}}) {
    const Status status = EncodeFrame({}, id, {}, false, &selection, &frame);
    EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
    EXPECT_NE(status.message().find("65535"), std::string::npos) << status.message();
  }
}

TEST(Frame, WhatNoReceiverWouldAcceptIsRefused) {
  Selection selection{.indices = {3, 9}, .values = {1.0f, 2.0f}};
  const std::vector<size_t> run_ends = {2};
  FrameBytes frame;
  for (const Status& status :
       {EncodeFrame({}, {.elements = 9}, run_ends, false, &selection, &frame),
        EncodeFrame({}, {.elements = 10}, run_ends, /*non_finite=*/true, &selection, &frame)}) {
    EXPECT_EQ(status.code(), StatusCode::kInvalidArgument) << status.message();
  }
}

TEST(Frame, LengthOfAFrameInALongerBuffer) {
  FrameBytes bytes =
      FrameOf({.elements = 9}, {.indices = {2, 5}, .values = {1.0f, 2.0f}}, false, kRawFormat);
  size_t length = 0;
  ASSERT_TRUE(FrameLength(bytes, &length).ok());
  EXPECT_EQ(length, 58u);
  bytes.resize(500, std::byte{0x55});
  ASSERT_TRUE(FrameLength(bytes, &length).ok());
  EXPECT_EQ(length, 58u);

  EXPECT_EQ(FrameLength(std::span(bytes).first(57), &length).code(), StatusCode::kCorrupt);
  EXPECT_EQ(FrameLength(std::span(bytes).first(39), &length).code(), StatusCode::kCorrupt);
  EXPECT_EQ(FrameLength({}, &length).code(), StatusCode::kCorrupt);
  Store<uint32_t>(&bytes, 28, 0xffffffffu);
  EXPECT_EQ(FrameLength(bytes, &length).code(), StatusCode::kCorrupt);
}

// What is coded elsewhere makes the same frame.
TEST(Frame, AssembledFromItsParts) {
  const FrameId id{.step = 9, .bucket = 2, .rank = 5, .elements = 5000};
  const std::vector<size_t> run_ends = {3, 3, 300};
  Selection selection;
  for (uint32_t i = 0; i < 300; ++i) {
    selection.indices.push_back(13 * i);
    selection.values.push_back(static_cast<float>(i) - 100);
  }
  const FrameFormat format{.indices = IndexFormat::kRiceBlocks, .values = ValueFormat::kInt4};
  FrameBytes frame;
  ASSERT_TRUE(EncodeFrame(format, id, run_ends, false, &selection, &frame).ok());
  FrameView view;
  ASSERT_TRUE(ReadFrameLayout(frame, id, 300, &view).ok());
  EXPECT_EQ(FrameRunEnds(view), (std::vector<size_t>{3, 300}));
  FrameBytes coded(view.indices.begin(), view.indices.end());
  coded.insert(coded.end(), view.values.begin(), view.values.end());
  FrameBytes assembled;
  AssembleFrame(format, id, run_ends, coded, &assembled);
  EXPECT_EQ(assembled, frame);
}

}  // namespace
}  // namespace cddp

// Frames as the format's version 2 has them: a change of one byte is another version. Reliability
// scorecard, row 21.
#include <gtest/gtest.h>

#include "cddp/frame.h"
#include "core/frame_layout.h"
#include "tests/core/random_bits.h"

namespace cddp {
namespace {

struct Golden {
  const char* indices;
  const char* values;
  uint64_t checksum;  // in the header, of all the rest
};

constexpr Golden kGolden[] = {
    {"rice", "fp32", 0x0e78e031629127bdu},        {"rice", "bf16", 0x439c928caca8f67bu},
    {"rice", "fp16", 0xd79a879f7edf944fu},        {"rice", "int8", 0x34b9a85f6baca4a2u},
    {"rice", "int4", 0x8bff0f9d338e7bb5u},        {"rice", "sign", 0xa3a5c6775bda4d0eu},
    {"bitmap", "fp32", 0x80955d4874509f31u},      {"bitmap", "bf16", 0xf6b2b793daf0e1e2u},
    {"bitmap", "fp16", 0x795b9b195cf175acu},      {"bitmap", "int8", 0x3cc8abd131832508u},
    {"bitmap", "int4", 0x31d14e30ab69513eu},      {"bitmap", "sign", 0x6ddb37669853e846u},
    {"rice-absent", "fp32", 0x35b31ca99b6a6023u}, {"rice-absent", "bf16", 0xaef455faa166d19au},
    {"rice-absent", "fp16", 0x2c1881ca5f00ed73u}, {"rice-absent", "int8", 0xe34c7caf9bcd9dccu},
    {"rice-absent", "int4", 0x62a6b82b98f3cc3cu}, {"rice-absent", "sign", 0xd8be8b441ec00967u},
    {"rice-blocks", "fp32", 0x0f652fbc9dcce183u}, {"rice-blocks", "bf16", 0x8697c97eec7f1a4cu},
    {"rice-blocks", "fp16", 0xa8ea066be8824847u}, {"rice-blocks", "int8", 0x092c9700fd64dff5u},
    {"rice-blocks", "int4", 0x33720d536d6cdc4eu}, {"rice-blocks", "sign", 0x64db9f2b8fa9ebd5u},
    {"raw32", "fp32", 0x2cf41316345c32c3u},       {"raw32", "bf16", 0xc194779ef9054f7au},
    {"raw32", "fp16", 0x20d0ca35d9b2c79eu},       {"raw32", "int8", 0xe8dc0763f45e8cb0u},
    {"raw32", "int4", 0x65297cd6cfa55389u},       {"raw32", "sign", 0xc4e7e4bccc029032u},
};

// Some 300 entries of three parameters, one of them without any.
Selection GoldenSelection(std::vector<size_t>* run_ends) {
  Selection selection;
  RandomBits bits(21);
  for (uint32_t i = 0; i < 3000; ++i) {
    if (i == 1000 || i == 1200) run_ends->push_back(selection.size());
    if ((i >= 1000 && i < 1200) || bits.Below(10) != 0) continue;
    selection.indices.push_back(i);
    selection.values.push_back(bits.Gradient());
  }
  run_ends->push_back(selection.size());
  return selection;
}

TEST(GoldenFrames, EveryCodecWritesAndReadsTheSameBytes) {
  std::vector<size_t> run_ends;
  const Selection selection = GoldenSelection(&run_ends);
  const FrameId id{.step = 7, .bucket = 2, .rank = 3, .elements = 3000};
  size_t at = 0;
  for (const std::string& indices : IndexFormatNames()) {
    if (indices == "auto") continue;
    for (const std::string& values : ValueFormatNames()) {
      SCOPED_TRACE(indices + ", " + values);
      FrameFormat format;
      ASSERT_TRUE(ParseIndexFormat(indices, &format.indices).ok());
      ASSERT_TRUE(ParseValueFormat(values, &format.values).ok());
      Selection coded = selection;
      std::vector<std::byte> frame;
      ASSERT_TRUE(EncodeFrame(format, id, run_ends, false, &coded, &frame).ok());
      const uint64_t checksum = ReadFrameHeader(frame).checksum;
      ASSERT_LT(at, std::size(kGolden)) << "a new codec: 0x" << std::hex << checksum;
      const Golden& golden = kGolden[at++];
      EXPECT_EQ(golden.indices, indices);
      EXPECT_EQ(golden.values, values);
      EXPECT_EQ(golden.checksum, checksum) << std::hex << checksum;
      FrameView view;
      Selection decoded;
      ASSERT_TRUE(DecodeFrame(frame, id, selection.size(), &view, &decoded).ok());
      EXPECT_EQ(decoded.indices, selection.indices);
      EXPECT_EQ(decoded.values, coded.values);
    }
  }
}

}  // namespace
}  // namespace cddp

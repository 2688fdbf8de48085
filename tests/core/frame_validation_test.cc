// Every field of a frame altered with the checksum made right again, so that it
// is the field's own check that refuses.
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>
#include <string>

#include "tests/core/frame_bytes.h"

namespace cddp {
namespace {

constexpr FrameId kId{.step = 5, .bucket = 2, .rank = 3, .elements = 10};
constexpr size_t kMaxEntries = 3;
constexpr size_t kRuns = 40;  // offsets in a frame of three entries
constexpr size_t kIndices = 42;
constexpr size_t kValues = 54;

FrameBytes ThreeEntries() {
  return FrameOf(kId, {.indices = {1, 4, 9}, .values = {0.5f, -1.0f, 2.0f}}, false, kRawFormat);
}

Status Validate(const FrameBytes& frame, size_t max_entries = kMaxEntries) {
  FrameView view;
  return ValidateFrame(frame, kId, max_entries, &view);
}

struct Alteration {
  std::string name;
  std::function<void(FrameBytes*)> alter;
  std::string message;  // a part of it
};

std::vector<Alteration> Alterations() {
  const auto store = []<typename T>(size_t offset, T value) {
    return [=](FrameBytes* frame) { Store<T>(frame, offset, value); };
  };
  const auto resize = [](size_t bytes, uint32_t entries) {
    return [=](FrameBytes* frame) {
      frame->resize(bytes);
      Store<uint32_t>(frame, 24, entries);
      Store<uint32_t>(frame, 28, static_cast<uint32_t>(bytes - 40));
    };
  };
  // Two bytes in place of one.
  const auto insert = [](size_t offset, int first, int second) {
    return [=](FrameBytes* frame) {
      (*frame)[offset] = static_cast<std::byte>(first);
      frame->insert(frame->begin() + static_cast<ptrdiff_t>(offset) + 1,
                    static_cast<std::byte>(second));
      Store<uint32_t>(frame, 28, static_cast<uint32_t>(frame->size() - 40));
    };
  };
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  return {
      {"magic", store(0, uint32_t{0x46444444}), "magic 0x46444443, got 0x46444444"},
      {"version 1", store(4, uint8_t{1}), "version 2 expected, got 1"},
      {"version 3", store(4, uint8_t{3}), "version 2 expected, got 3"},
      {"index codec", store(5, uint8_t{5}), "no index codec has number 5"},
      {"index codec auto", store(5, uint8_t{255}), "no index codec has number 255"},
      {"value codec", store(6, uint8_t{6}), "no value codec has number 6"},
      {"unknown flag", store(7, uint8_t{2}), "flags 0 or 1 expected, got 2"},
      {"highest flag", store(7, uint8_t{0x80}), "flags 0 or 1 expected, got 128"},
      {"non-finite with entries", store(7, uint8_t{1}), "non-finite frame has no entries, got 3"},
      {"step", store(8, uint64_t{6}), "step 5 expected, got 6"},
      {"high word of step", store(12, uint32_t{1}), "step 5 expected, got 4294967301"},
      {"bucket", store(16, uint16_t{1}), "bucket 2 expected, got 1"},
      {"rank", store(18, uint16_t{0}), "rank 3 expected, got 0"},
      {"fewer elements", store(20, uint32_t{9}), "elements 10 expected, got 9"},
      {"more elements", store(20, uint32_t{11}), "elements 10 expected, got 11"},
      {"fewer entries", store(24, uint32_t{2}), "entries of all runs 2 expected, got 3"},
      {"no entries", store(24, uint32_t{0}), "at most 0 runs expected, got 1"},
      {"many entries", store(24, uint32_t{0x20000003}), "at most 3 entries expected"},
      {"shorter length", store(28, uint32_t{16}), "56 bytes expected from its header, got 66"},
      {"longer length", store(28, uint32_t{32}), "a frame of 72 bytes in a buffer of 66"},
      {"half a value", resize(62, 3), "length: 3 indices (raw32) do not take 8 bytes"},
      {"no values", resize(53, 3), "length: 3 entries have 12 bytes of values, got 11"},
      {"nothing", resize(40, 3), "the number of runs is cut off"},
      {"half of the runs", resize(41, 3), "the length of run 0 is cut off"},
      {"more runs than entries", store(kRuns, uint8_t{4}), "at most 3 runs expected, got 4"},
      {"an empty run", store(kRuns + 1, uint8_t{0}), "run 0 of 1 has no entries"},
      {"a shorter run", store(kRuns + 1, uint8_t{2}), "all runs 3 expected, got 2"},
      {"a longer run", store(kRuns + 1, uint8_t{4}), "all runs 3 expected, got 4"},
      {"number of runs in two bytes", insert(kRuns, 0x81, 0x00), "number of runs is cut off or"},
      {"a run's length in two bytes", insert(kRuns + 1, 0x83, 0x00), "length of run 0 is cut off"},
      {"index twice", store(kIndices + 4, uint32_t{1}), "index 1 of entry 1 after index 1"},
      {"index descends", store(kIndices + 4, uint32_t{0}), "index 0 of entry 1 after index 1"},
      {"first index too large", store(kIndices, uint32_t{10}), "index 10 of entry 0"},
      {"last index too large", store(kIndices + 8, uint32_t{10}), "bucket of 10 elements"},
      {"index negative", store(kIndices, uint32_t{0xffffffff}), "index 4294967295 of entry 0"},
      {"NaN", store(kValues, std::nanf("")), "value of entry 0 is nan"},
      {"Inf", store(kValues + 4, kInfinity), "value of entry 1 is inf"},
      {"-Inf", store(kValues + 8, -kInfinity), "value of entry 2 is -inf"},
  };
}

TEST(FrameValidation, AcceptsTheUnaltered) {
  FrameBytes frame = ThreeEntries();
  ASSERT_EQ(frame.size(), 66u);
  EXPECT_TRUE(Validate(frame).ok());
  const FrameBytes before = frame;
  Seal(&frame);
  EXPECT_EQ(frame, before) << "the tests' own checksum";
}

TEST(FrameValidation, EveryFieldIsChecked) {
  for (const Alteration& alteration : Alterations()) {
    FrameBytes frame = ThreeEntries();
    alteration.alter(&frame);
    Seal(&frame);
    const Status status = Validate(frame);
    EXPECT_EQ(status.code(), StatusCode::kCorrupt) << alteration.name;
    EXPECT_NE(status.message().find(alteration.message), std::string::npos)
        << alteration.name << ": " << status.message();
    EXPECT_NE(status.message().find("rank 3, step 5, bucket 2"), std::string::npos)
        << alteration.name << ": " << status.message();
  }
}

// What the other codecs' bytes may not say.
TEST(FrameValidation, EveryCodecIsChecked) {
  struct Case {
    IndexFormat indices;
    ValueFormat values;
    std::function<void(FrameBytes*)> alter;
    std::string message;
  };
  const auto store = []<typename T>(size_t offset, T value) {
    return [=](FrameBytes* frame) { Store<T>(frame, offset, value); };
  };
  // Behind 42 bytes of header and runs: gaps 1, 2 and 4 take two bytes.
  const std::vector<Case> cases = {
      {IndexFormat::kRice, ValueFormat::kFp32, store(42, uint16_t{0}),
       "2 bytes of indices (rice) end within entries 0 to 2"},
      {IndexFormat::kRice, ValueFormat::kFp32, store(43, uint8_t{0xff}),
       "end before the last of their 2 bytes"},
      {IndexFormat::kBitmap, ValueFormat::kFp32, store(42, uint16_t{0x0012}),
       "(bitmap) end within entries 0 to 2"},
      {IndexFormat::kBitmap, ValueFormat::kFp32, store(42, uint16_t{0x0612}),
       "end before the last"},
      {IndexFormat::kBitmap, ValueFormat::kFp32, store(42, uint16_t{0x0213}), "end before"},
      {IndexFormat::kRiceAbsent, ValueFormat::kFp32, store(42, uint16_t{0x001f}),
       "(rice-absent) end within"},
      // The length of the block: shorter and longer than its codes, and than all bytes.
      {IndexFormat::kRiceBlocks, ValueFormat::kFp32, store(42, uint16_t{0}), "(rice-blocks)"},
      {IndexFormat::kRiceBlocks, ValueFormat::kFp32, store(42, uint16_t{0xffff}), "(rice-blocks)"},
      {IndexFormat::kRaw32, ValueFormat::kBf16, store(54, uint16_t{0x7f80}), "entry 0 is inf"},
      {IndexFormat::kRaw32, ValueFormat::kFp16, store(56, uint16_t{0xfe00}), "values of entries 0"},
      {IndexFormat::kRaw32, ValueFormat::kInt8, store(54, uint16_t{0x7f80}), "entry 0 is"},
      {IndexFormat::kRaw32, ValueFormat::kInt8, store(54, uint16_t{0xbf80}),
       "no such scale or code"},
      {IndexFormat::kRaw32, ValueFormat::kInt8, store(57, uint8_t{0x80}), "no such scale or code"},
      {IndexFormat::kRaw32, ValueFormat::kInt4, store(54, uint16_t{0x7fc0}),
       "value of entry 0 is nan"},
      {IndexFormat::kRaw32, ValueFormat::kInt4, store(54, uint16_t{0x40e0}),
       "no such scale or code"},
      {IndexFormat::kRaw32, ValueFormat::kInt4, store(59, uint8_t{0x10}), "no such scale or code"},
      {IndexFormat::kRaw32, ValueFormat::kSign, store(54, uint16_t{0xbf80}),
       "no such scale or code"},
      {IndexFormat::kRaw32, ValueFormat::kSign, store(56, uint8_t{0x08}), "no such scale or code"},
  };
  for (size_t c = 0; c < cases.size(); ++c) {
    FrameBytes frame = FrameOf(kId, {.indices = {1, 4, 9}, .values = {0.5f, -1.0f, 2.0f}}, false,
                               {.indices = cases[c].indices, .values = cases[c].values});
    ASSERT_TRUE(Validate(frame).ok()) << c;
    cases[c].alter(&frame);
    Seal(&frame);
    const Status status = Validate(frame);
    EXPECT_EQ(status.code(), StatusCode::kCorrupt) << c;
    EXPECT_NE(status.message().find(cases[c].message), std::string::npos)
        << c << ": " << status.message();
  }
}

TEST(FrameValidation, TooManyEntries) {
  for (size_t max_entries : {0, 1, 2}) {
    const Status status = Validate(ThreeEntries(), max_entries);
    EXPECT_EQ(status.code(), StatusCode::kCorrupt);
    EXPECT_NE(status.message().find("at most " + std::to_string(max_entries) +
                                    " entries expected, got 3"),
              std::string::npos)
        << status.message();
  }
  EXPECT_TRUE(Validate(ThreeEntries(), 4).ok());
}

TEST(FrameValidation, WrongChecksum) {
  FrameBytes frame = ThreeEntries();
  Store<uint64_t>(&frame, 32, Fetch<uint64_t>(frame, 32) + 1);
  EXPECT_NE(Validate(frame).message().find("checksum"), std::string::npos);
  // Neither of the two parts alone.
  Store<uint64_t>(&frame, 32, XXH3_64bits(frame.data() + 40, frame.size() - 40));
  EXPECT_EQ(Validate(frame).code(), StatusCode::kCorrupt);
  Store<uint64_t>(&frame, 32, XXH3_64bits(frame.data(), 32));
  EXPECT_EQ(Validate(frame).code(), StatusCode::kCorrupt);
}

TEST(FrameValidation, TruncatedAtEveryLength) {
  const FrameBytes whole = ThreeEntries();
  for (size_t length = 0; length < whole.size(); ++length) {
    // A vector of its own, so that a sanitizer sees a read past the end.
    const FrameBytes frame(whole.begin(), whole.begin() + static_cast<ptrdiff_t>(length));
    const Status status = Validate(frame);
    EXPECT_EQ(status.code(), StatusCode::kCorrupt) << length;
    EXPECT_NE(status.message().find("rank 3, step 5, bucket 2"), std::string::npos) << length;
  }
}

TEST(FrameValidation, Extended) {
  for (size_t more : {1, 4, 8, 1000}) {
    FrameBytes frame = ThreeEntries();
    frame.resize(frame.size() + more);
    EXPECT_EQ(Validate(frame).code(), StatusCode::kCorrupt) << more;
    Seal(&frame);
    EXPECT_EQ(Validate(frame).code(), StatusCode::kCorrupt) << more;
  }
}

}  // namespace
}  // namespace cddp

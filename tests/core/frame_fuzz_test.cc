// Frames altered at random: what validation lets through is safe to decode.
#include <gtest/gtest.h>

#include <cmath>

#include "tests/core/frame_bytes.h"
#include "tests/core/generators.h"

namespace cddp {
namespace {

constexpr IndexFormat kFuzzedIndexFormats[] = {IndexFormat::kRaw32, IndexFormat::kRice,
                                               IndexFormat::kBitmap, IndexFormat::kRiceAbsent,
                                               IndexFormat::kRiceBlocks};
constexpr int kFuzzedValueFormats = 6;

struct Sample {
  FrameId id;
  FrameBytes frame;
  uint32_t entries = 0;
};

// A frame of any codecs, of at most a few blocks.
Sample AnyFrame(RandomBits& bits) {
  Sample sample{.id = {.step = bits.Below(4), .bucket = 1, .rank = 2, .elements = 0}, .frame = {}};
  const uint64_t one_in = 1 + bits.Below(4);
  Selection selection;
  std::vector<size_t> run_ends;
  const auto elements = static_cast<uint32_t>(bits.Below(bits.Below(50) == 0  ? 12'000
                                                         : bits.Below(8) == 0 ? 1'500
                                                                              : 40));
  for (uint32_t i = 0; i < elements; ++i) {
    if (bits.Below(one_in) == 0) {
      selection.indices.push_back(i);
      selection.values.push_back(bits.Uniform());
    }
    if (bits.Below(20) == 0) run_ends.push_back(selection.size());
  }
  run_ends.push_back(selection.size());
  sample.id.elements = elements;
  sample.entries = static_cast<uint32_t>(selection.size());
  const FrameFormat format{
      .indices = kFuzzedIndexFormats[bits.Below(std::size(kFuzzedIndexFormats))],
      .values = static_cast<ValueFormat>(bits.Below(kFuzzedValueFormats))};
  if (!EncodeFrame(format, sample.id, run_ends, false, &selection, &sample.frame).ok()) {
    sample.frame.clear();
  }
  return sample;
}

// One alteration: of bits, of a word, of the length, or a piece of another frame.
void Alter(FrameBytes* frame, RandomBits& bits) {
  const auto offset = [&] { return bits.Below(frame->size()); };
  switch (bits.Below(8)) {
    case 0:
    case 1:
      (*frame)[offset()] ^= static_cast<std::byte>(1u << bits.Below(8));
      break;
    case 2:
      (*frame)[offset()] = static_cast<std::byte>(bits());
      break;
    case 3:  // a small number where a header has one
      Store<uint32_t>(frame, 4 * bits.Below(10), static_cast<uint32_t>(bits.Below(32)));
      break;
    case 4:
      if (frame->size() >= 48) {
        Store<float>(frame, 40 + bits.Below(frame->size() - 43),
                     OneValue(Pattern::kWithNonFinite, bits));
      }
      break;
    case 5:
      frame->resize(40 + bits.Below(frame->size() - 39));
      break;
    case 6:
      frame->resize(frame->size() + 1 + bits.Below(20), static_cast<std::byte>(bits()));
      break;
    default: {
      const FrameBytes other = AnyFrame(bits).frame;
      const size_t from = bits.Below(other.size());
      const size_t to = offset();
      const size_t count = bits.Below(1 + std::min(other.size() - from, frame->size() - to));
      std::copy_n(other.begin() + static_cast<ptrdiff_t>(from), count,
                  frame->begin() + static_cast<ptrdiff_t>(to));
    }
  }
}

// True when it is let through, and then it is safe.
bool IsAccepted(const Sample& sample) {
  // Bytes of its own size, so that a sanitizer sees a read past the end.
  const FrameBytes frame = sample.frame;
  FrameView view;
  Selection entries;
  const bool good = DecodeFrame(frame, sample.id, sample.entries, &view, &entries).ok();
  EXPECT_EQ(ValidateFrame(frame, sample.id, sample.entries, &view).ok(), good);
  if (!good) return false;
  EXPECT_LE(view.entries, sample.entries);
  EXPECT_EQ(view.entries, entries.size());
  int64_t previous = -1;
  for (size_t i = 0; i < entries.size(); ++i) {
    EXPECT_GT(int64_t{entries.indices[i]}, previous);
    EXPECT_LT(entries.indices[i], sample.id.elements);
    EXPECT_TRUE(std::isfinite(entries.values[i]));
    previous = entries.indices[i];
  }
  return true;
}

TEST(FrameFuzz, EverySingleBitFlipIsRejected) {
  for (uint64_t seed = 0; seed < 30; ++seed) {
    RandomBits bits(seed);
    const Sample whole = AnyFrame(bits);
    for (size_t bit = 0; bit < whole.frame.size() * 8; ++bit) {
      Sample sample = whole;
      sample.frame[bit / 8] ^= std::byte{1} << (bit % 8);
      ASSERT_FALSE(IsAccepted(sample)) << "bit " << bit;
    }
  }
}

// A good frame of another step, bucket, rank or size than what is waited for.
TEST(FrameFuzz, ReplayedAndSwappedFramesAreRejected) {
  const int cases = Cases(100'000);
  for (int c = 0; c < cases && !::testing::Test::HasFailure(); ++c) {
    RandomBits bits(static_cast<uint64_t>(c));
    Sample sample = AnyFrame(bits);
    ASSERT_TRUE(IsAccepted(sample)) << c;
    const auto other = static_cast<uint32_t>(1 + bits.Below(1000));
    switch (bits.Below(5)) {
      case 0:
        sample.id.step += other;
        break;
      case 1:
        sample.id.bucket += other;
        break;
      case 2:
        sample.id.rank += other;
        break;
      case 3:
        sample.id.elements += other;
        break;
      default:
        sample.id.of_owner = true;
    }
    ASSERT_FALSE(IsAccepted(sample)) << c;
  }
}

// Reliability scorecard: a million altered frames, as they are and sealed again.
TEST(FrameFuzz, MutationsAreRejectedOrSafe) {
  const int cases = Cases(1'000'000);
  int unsealed = 0;
  int sealed = 0;
  for (int c = 0; c < cases && !::testing::Test::HasFailure(); ++c) {
    SCOPED_TRACE(c);
    RandomBits bits(static_cast<uint64_t>(c));
    Sample sample = AnyFrame(bits);
    ASSERT_FALSE(sample.frame.empty());
    const FrameBytes whole = sample.frame;
    for (uint64_t n = 1 + bits.Below(3); n > 0; --n) Alter(&sample.frame, bits);
    unsealed += sample.frame != whole && IsAccepted(sample);
    // Most lengths are put right too: or that check would be the only one.
    if (bits.Below(8) != 0) {
      Store<uint32_t>(&sample.frame, 28, static_cast<uint32_t>(sample.frame.size() - 40));
    }
    Seal(&sample.frame);
    sealed += IsAccepted(sample);
  }
  EXPECT_EQ(unsealed, 0) << "the checksum finds all of them";
  // Both sides of the border were visited.
  EXPECT_GT(sealed, cases / 100);
  EXPECT_LT(sealed, cases / 2);
}

TEST(FrameFuzz, NoiseIsRejected) {
  RandomBits bits(1);
  for (int c = 0; c < Cases(20'000); ++c) {
    FrameBytes frame(bits.Below(100));
    for (std::byte& byte : frame) byte = static_cast<std::byte>(bits());
    FrameView view;
    ASSERT_EQ(ValidateFrame(frame, {.elements = 1'000}, 1'000, &view).code(), StatusCode::kCorrupt);
    size_t length;
    ASSERT_EQ(FrameLength(frame, &length).code(), StatusCode::kCorrupt);
  }
}

}  // namespace
}  // namespace cddp

// Frames altered at random: what validation lets through is safe to decode.
#include <gtest/gtest.h>

#include <cmath>

#include "tests/core/frame_bytes.h"
#include "tests/core/generators.h"

namespace cddp {
namespace {

TEST(FrameFuzz, EverySingleBitFlipIsRejected) {
  const FrameId id{.step = 77, .bucket = 1, .rank = 2, .elements = 100};
  const FrameBytes whole =
      FrameOf(id, {.indices = {0, 5, 50, 99}, .values = {1.0f, -0.0f, 3.25f, 1e-40f}});
  for (size_t bit = 0; bit < whole.size() * 8; ++bit) {
    FrameBytes frame = whole;
    frame[bit / 8] ^= std::byte{1} << (bit % 8);
    FrameView view;
    ASSERT_EQ(ValidateFrame(frame, id, 4, &view).code(), StatusCode::kCorrupt) << "bit " << bit;
  }
}

// One alteration: a byte anywhere, or a word replaced by a plausible one.
void Alter(FrameBytes* frame, RandomBits& bits) {
  const size_t words = frame->size() / 4;
  switch (bits.Below(4)) {
    case 0:
      (*frame)[bits.Below(frame->size())] ^= static_cast<std::byte>(1 + bits.Below(255));
      break;
    case 1:
      Store<uint32_t>(frame, 4 * bits.Below(words), static_cast<uint32_t>(bits.Below(32)));
      break;
    case 2:
      Store<uint32_t>(frame, 4 * bits.Below(words), static_cast<uint32_t>(bits()));
      break;
    default:
      if (words > 10) {
        Store<float>(frame, 4 * (10 + bits.Below(words - 10)),
                     OneValue(Pattern::kWithNonFinite, bits));
      }
  }
}

TEST(FrameFuzz, SealedMutationsAreRejectedOrSafe) {
  const int cases = Cases(100'000);
  int accepted = 0;
  for (int c = 0; c < cases; ++c) {
    SCOPED_TRACE(c);
    RandomBits bits(static_cast<uint64_t>(c));
    const auto entries = static_cast<uint32_t>(bits.Below(8));
    const uint32_t elements = 3 * entries + static_cast<uint32_t>(bits.Below(8));
    Selection selection;
    for (uint32_t i = 0; i < entries; ++i) {
      selection.indices.push_back(3 * i + static_cast<uint32_t>(bits.Below(3)));
      selection.values.push_back(bits.Uniform());
    }
    const FrameId id{.step = bits.Below(4), .bucket = 1, .rank = 2, .elements = elements};
    FrameBytes frame = FrameOf(id, selection);
    ASSERT_FALSE(frame.empty());
    for (uint64_t n = 1 + bits.Below(3); n > 0; --n) Alter(&frame, bits);
    if (bits.Below(8) == 0) frame.resize(40 + bits.Below(frame.size() - 39));
    Seal(&frame);

    FrameView view;
    if (!ValidateFrame(frame, id, entries, &view).ok()) continue;
    ++accepted;
    ASSERT_LE(view.entries, entries);
    ASSERT_EQ(view.indices.size(), 4u * view.entries);
    ASSERT_EQ(view.values.size(), 4u * view.entries);
    int64_t previous = -1;
    for (uint32_t i = 0; i < view.entries; ++i) {
      const auto index = Fetch<uint32_t>(frame, 40 + 4 * i);
      ASSERT_GT(int64_t{index}, previous);
      ASSERT_LT(index, elements);
      ASSERT_TRUE(std::isfinite(Fetch<float>(frame, 40 + 4 * (view.entries + i))));
      previous = index;
    }
    std::vector<float> dense(elements);
    DecodeAdd(view, dense);
  }
  // Both sides of the border were visited.
  EXPECT_GT(accepted, cases / 100);
  EXPECT_LT(accepted, cases / 2);
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

// Every instruction set's sweeps against the scalar ones.
#include "core/sweep.h"

#include <gtest/gtest.h>
#include <hwy/highway.h>

#include <cmath>
#include <limits>
#include <string>

#include "tests/core/generators.h"

namespace cddp {
namespace {

constexpr float kSentinel = 12345.0f;
constexpr uint32_t kIndexSentinel = 0xabcdef01u;
constexpr uint32_t kThresholds[] = {0,           1,           0x007fffffu, 0x00800000u,
                                    0x3f000000u, 0x3f800000u, 0x3f800400u, kInfinityBits,
                                    0x7fffffffu};

class SweepTest : public ::testing::TestWithParam<int64_t> {
 protected:
  void SetUp() override {
    hwy::GetChosenTarget().Update(GetParam());
    ASSERT_STREQ(SweepTarget(), hwy::TargetName(GetParam()));
  }
  void TearDown() override { hwy::GetChosenTarget().DeInit(); }

  // Calls check(values) for short lengths at every misalignment, and for long ones. The values
  // end where their buffer ends.
  template <typename Check>
  void ForSpans(Check check) {
    uint32_t seed = 0;
    for (int pattern = 0; pattern <= static_cast<int>(Pattern::kWithNonFinite); ++pattern) {
      for (size_t length = 0; length <= 40; ++length) {
        for (size_t misaligned = 0; misaligned <= 16; ++misaligned) {
          CheckSpan({static_cast<Pattern>(pattern), ++seed, misaligned + length}, misaligned,
                    check);
        }
      }
      for (size_t length : {63, 64, 65, 127, 1'000, 4'099, 20'011}) {
        CheckSpan({static_cast<Pattern>(pattern), ++seed, length}, seed % 17, check);
      }
      if (HasFatalFailure()) return;
    }
  }

 private:
  template <typename Check>
  void CheckSpan(const Recipe& recipe, size_t misaligned, Check check) {
    SCOPED_TRACE(::testing::Message() << recipe << ", misaligned by " << misaligned);
    const std::vector<float> buffer = ValuesOf(recipe);
    check(std::span<const float>(buffer).subspan(misaligned), misaligned);
  }
};

// The payload of a NaN may differ: which operand's it is, the instruction decides.
bool SameSums(std::span<const float> a, std::span<const float> b) {
  for (size_t i = 0; i < a.size(); ++i) {
    if (std::isnan(a[i]) ? !std::isnan(b[i]) : !SameBits(a.subspan(i, 1), b.subspan(i, 1))) {
      return false;
    }
  }
  return a.size() == b.size();
}

TEST_P(SweepTest, AddFinite) {
  ForSpans([](std::span<const float> a, size_t misaligned) {
    std::vector<float> b(a.rbegin(), a.rend());
    std::vector<float> want(a.size());
    const bool finite = scalar::AddFinite(a, b, want);

    std::vector<float> buffer(misaligned + a.size() + kCompactPadding, kSentinel);
    const auto out = std::span(buffer).subspan(misaligned, a.size());
    ASSERT_EQ(AddFinite(a, b, out), finite);
    ASSERT_TRUE(SameSums(out, want));
    for (size_t i = 0; i < buffer.size(); ++i) {
      if (i >= misaligned && i < misaligned + a.size()) continue;
      ASSERT_EQ(buffer[i], kSentinel) << i;
    }

    std::vector<float> in_place(a.begin(), a.end());
    ASSERT_EQ(AddFinite(in_place, b, in_place), finite);
    ASSERT_TRUE(SameSums(in_place, want));
    ASSERT_EQ(AddFinite(a, b, b), finite);
    ASSERT_TRUE(SameSums(b, want));
  });
}

TEST_P(SweepTest, AllFinite) {
  ForSpans([](std::span<const float> values, size_t) {
    ASSERT_EQ(AllFinite(values), scalar::AllFinite(values));
  });
}

TEST_P(SweepTest, NonFiniteAtEveryPosition) {
  for (size_t length = 1; length <= 70; ++length) {
    std::vector<float> values(length, -std::numeric_limits<float>::max());
    const std::vector<float> zeros(length, 0.0f);
    std::vector<float> sum(length);
    ASSERT_TRUE(AllFinite(values));
    ASSERT_TRUE(AddFinite(values, zeros, sum));
    for (size_t i = 0; i < length; ++i) {
      for (uint32_t bad : {0x7f800000u, 0xff800000u, 0x7fc00000u, 0xffc00000u, 0x7f800001u}) {
        const float kept = std::exchange(values[i], std::bit_cast<float>(bad));
        ASSERT_FALSE(AllFinite(values)) << i << " of " << length;
        ASSERT_FALSE(AddFinite(values, zeros, sum)) << i << " of " << length;
        ASSERT_FALSE(AddFinite(zeros, values, sum)) << i << " of " << length;
        values[i] = kept;
      }
    }
  }
}

TEST_P(SweepTest, SumThatOverflowsIsNotFinite) {
  const std::vector<float> huge(37, std::numeric_limits<float>::max());
  std::vector<float> sum(37);
  EXPECT_FALSE(AddFinite(huge, huge, sum));
}

TEST_P(SweepTest, CountAtLeast) {
  ForSpans([](std::span<const float> values, size_t) {
    for (uint32_t threshold : kThresholds) {
      ASSERT_EQ(CountAtLeast(values, threshold), scalar::CountAtLeast(values, threshold))
          << threshold;
    }
  });
}

TEST_P(SweepTest, CompactAtLeast) {
  ForSpans([](std::span<const float> values, size_t misaligned) {
    for (uint32_t threshold : kThresholds) {
      const size_t room = scalar::CountAtLeast(values, threshold) + kCompactPadding;
      std::vector<uint32_t> want_indices(room);
      std::vector<float> want(room);
      const size_t count =
          scalar::CompactAtLeast(values, threshold, 0xf0000000u, want_indices.data(), want.data());
      std::vector<uint32_t> indices(misaligned + room + 8, kIndexSentinel);
      std::vector<float> out(misaligned + room + 8, kSentinel);
      ASSERT_EQ(CompactAtLeast(values, threshold, 0xf0000000u, indices.data() + misaligned,
                               out.data() + misaligned),
                count);
      ASSERT_TRUE(
          SameBits(std::span(out).subspan(misaligned, count), std::span(want).first(count)));
      for (size_t i = 0; i < count; ++i) ASSERT_EQ(indices[misaligned + i], want_indices[i]);
      for (size_t i = 0; i < out.size(); ++i) {
        if (i >= misaligned && i < misaligned + room) continue;
        ASSERT_EQ(out[i], kSentinel) << i;
        ASSERT_EQ(indices[i], kIndexSentinel) << i;
      }
    }
  });
}

TEST(ScalarSweep, ByHand) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  const std::vector<float> a = {1.0f, -2.0f, 0.0f, 4.0f};
  const std::vector<float> b = {0.5f, 2.0f, -0.25f, -8.0f};
  std::vector<float> sum(4);
  EXPECT_TRUE(scalar::AddFinite(a, b, sum));
  EXPECT_EQ(sum, (std::vector<float>{1.5f, 0.0f, -0.25f, -4.0f}));
  EXPECT_TRUE(scalar::AllFinite(a));
  EXPECT_FALSE(scalar::AllFinite(std::vector<float>{1.0f, -kInfinity}));
  EXPECT_FALSE(scalar::AllFinite(std::vector<float>{std::nanf(""), 1.0f}));

  const auto two = std::bit_cast<uint32_t>(2.0f);
  EXPECT_EQ(scalar::CountAtLeast(a, two), 2u);
  EXPECT_EQ(scalar::CountAtLeast(a, two + 1), 1u);
  std::vector<uint32_t> indices(4);
  EXPECT_EQ(scalar::CompactAtLeast(a, two, 100, indices.data(), sum.data()), 2u);
  EXPECT_EQ(indices, (std::vector<uint32_t>{101, 103, 0, 0}));
  EXPECT_EQ(sum[0], -2.0f);
  EXPECT_EQ(sum[1], 4.0f);
}

INSTANTIATE_TEST_SUITE_P(Targets, SweepTest,
                         ::testing::ValuesIn(hwy::SupportedAndGeneratedTargets()),
                         [](const auto& target) {
                           return std::string(hwy::TargetName(target.param));
                         });

}  // namespace
}  // namespace cddp

// Every instruction set's sweeps against the scalar ones.
#include "core/sweep.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "core/aligned.h"
#include "tests/core/generators.h"
#include "tests/core/simd_target.h"

namespace cddp {
namespace {

constexpr size_t kMisalignedBy = CDDP_CASE_DIVISOR > 1 ? 5 : 1;
constexpr float kSentinel = 12345.0f;
constexpr uint32_t kIndexSentinel = 0xabcdef01u;
constexpr uint32_t kBase = 0xf0000000u;
constexpr uint32_t kThresholds[] = {0,           1,           0x007fffffu, 0x00800000u,
                                    0x3f000000u, 0x3f800000u, 0x3f800400u, kInfinityBits,
                                    0x7fffffffu, kTakeNothing};

// Room for the entries of a sweep, misaligned, with sentinels around it.
class GuardedEntries {
 public:
  GuardedEntries(size_t elements, size_t misaligned)
      : begin_(misaligned),
        room_(elements + Entries::kPadding),
        indices_(misaligned + room_ + 8, kIndexSentinel),
        values_(misaligned + room_ + 8, kSentinel) {}

  Entries entries() { return {indices_.data() + begin_, values_.data() + begin_}; }

  bool Untouched() const {
    for (size_t i = 0; i < values_.size(); ++i) {
      if (i >= begin_ && i < begin_ + room_) continue;
      if (values_[i] != kSentinel || indices_[i] != kIndexSentinel) return false;
    }
    return true;
  }

 private:
  size_t begin_;
  size_t room_;
  std::vector<uint32_t> indices_;
  std::vector<float> values_;
};

bool SameFloat(float a, float b) {
  // The payload of a NaN may differ: which operand's it is, the instruction decides.
  if (std::isnan(a) || std::isnan(b)) return std::isnan(a) && std::isnan(b);
  return std::bit_cast<uint32_t>(a) == std::bit_cast<uint32_t>(b);
}

::testing::AssertionResult SameFloats(std::span<const float> got, std::span<const float> want) {
  for (size_t i = 0; i < want.size(); ++i) {
    if (!SameFloat(got[i], want[i])) {
      return ::testing::AssertionFailure() << got[i] << " for " << want[i] << " at " << i;
    }
  }
  return ::testing::AssertionSuccess();
}

::testing::AssertionResult SameResult(const Swept& got, const Entries& got_entries,
                                      const Swept& want, const Entries& want_entries) {
  if (got.taken != want.taken || got.finite() != want.finite() ||
      (want.finite() && got.largest != want.largest)) {
    return ::testing::AssertionFailure() << got.taken << " taken for " << want.taken << ", largest "
                                         << got.largest << " for " << want.largest;
  }
  for (size_t i = 0; i < want.taken; ++i) {
    if (got_entries.indices[i] != want_entries.indices[i] ||
        !SameFloat(got_entries.values[i], want_entries.values[i])) {
      return ::testing::AssertionFailure() << "entry " << i;
    }
  }
  return ::testing::AssertionSuccess();
}

class SweepTest : public OnSimdTarget {
 protected:
  // Calls check(values, misaligned, threshold) for short lengths at every misalignment
  // (instrumented at some), and for long ones. The values end where their buffer ends.
  template <typename Check>
  void ForSpans(Check check) {
    uint32_t seed = 0;
    for (int pattern = 0; pattern <= static_cast<int>(Pattern::kWithNonFinite); ++pattern) {
      for (size_t length = 0; length <= 40; ++length) {
        for (size_t misaligned = 0; misaligned <= 16; misaligned += kMisalignedBy) {
          CheckSpan({static_cast<Pattern>(pattern), ++seed, misaligned + length}, misaligned,
                    check);
        }
      }
      for (size_t length : {63, 64, 65, 127, 1'000, 4'099, 20'011}) {
        ++seed;
        CheckSpan({static_cast<Pattern>(pattern), seed, length}, seed % 17, check);
      }
      if (HasFatalFailure()) return;
    }
  }

 private:
  template <typename Check>
  void CheckSpan(const Recipe& recipe, size_t misaligned, Check check) {
    SCOPED_TRACE(::testing::Message() << recipe << ", misaligned by " << misaligned);
    const std::vector<float> buffer = ValuesOf(recipe);
    // All thresholds for short spans, one for each long one.
    if (recipe.length <= 100) {
      for (uint32_t threshold : kThresholds) {
        check(std::span<const float>(buffer).subspan(misaligned), misaligned, threshold);
      }
    } else {
      check(std::span<const float>(buffer).subspan(misaligned), misaligned,
            kThresholds[recipe.seed % std::size(kThresholds)]);
    }
  }
};

TEST_P(SweepTest, CompactAtLeast) {
  ForSpans([](std::span<const float> values, size_t misaligned, uint32_t threshold) {
    GuardedEntries want(values.size(), 0), got(values.size(), misaligned);
    const Swept expected = scalar::CompactAtLeast(values, threshold, kBase, want.entries());
    const Swept swept = CompactAtLeast(values, threshold, kBase, got.entries());
    ASSERT_TRUE(SameResult(swept, got.entries(), expected, want.entries())) << threshold;
    ASSERT_TRUE(got.Untouched());
  });
}

TEST_P(SweepTest, TakeAtLeast) {
  ForSpans([](std::span<const float> values, size_t misaligned, uint32_t threshold) {
    GuardedEntries want(values.size(), 0), got(values.size(), misaligned);
    std::vector<float> rest(values.begin(), values.end());
    std::vector<float> buffer(misaligned + values.size() + 8, kSentinel);
    const auto left = std::span(buffer).subspan(misaligned, values.size());
    std::ranges::copy(values, left.begin());
    const Swept expected = scalar::TakeAtLeast(rest, threshold, kBase, want.entries());
    const Swept swept = TakeAtLeast(left, threshold, kBase, got.entries());
    ASSERT_TRUE(SameResult(swept, got.entries(), expected, want.entries())) << threshold;
    ASSERT_TRUE(SameFloats(left, rest));
    ASSERT_TRUE(got.Untouched());
    for (size_t i = 0; i < 8; ++i) ASSERT_EQ(buffer[misaligned + values.size() + i], kSentinel);
  });
}

TEST_P(SweepTest, AccumulateResidual) {
  ForSpans([](std::span<const float> gradient, size_t misaligned, uint32_t threshold) {
    const std::vector<float> old(gradient.rbegin(), gradient.rend());
    std::vector<float> next(gradient.size());
    GuardedEntries want(gradient.size(), 0);
    const Swept expected = scalar::AccumulateResidual(gradient, old.data(), next.data(), threshold,
                                                      kBase, want.entries());
    for (bool stream : {false, true}) {
      // Streaming stores need an aligned memory; the gradient may lie anywhere.
      const size_t shift = stream ? 0 : misaligned;
      AlignedFloats buffer(shift + gradient.size() + 8, kSentinel);
      GuardedEntries got(gradient.size(), misaligned);
      const Swept swept = AccumulateResidual(gradient, old.data(), buffer.data() + shift, stream,
                                             threshold, kBase, got.entries());
      FlushStreamed();
      ASSERT_TRUE(SameResult(swept, got.entries(), expected, want.entries())) << threshold;
      ASSERT_TRUE(SameFloats(std::span(buffer).subspan(shift), next));
      ASSERT_TRUE(got.Untouched());
      for (size_t i = 0; i < shift; ++i) ASSERT_EQ(buffer[i], kSentinel);
      for (size_t i = 0; i < 8; ++i) ASSERT_EQ(buffer[shift + gradient.size() + i], kSentinel);
    }
  });
}

TEST_P(SweepTest, AccumulateMomentum) {
  ForSpans([](std::span<const float> gradient, size_t misaligned, uint32_t threshold) {
    const size_t n = gradient.size();
    const std::vector<float> velocity(gradient.rbegin(), gradient.rend());
    std::vector<float> residual(gradient.begin(), gradient.end());
    std::rotate(residual.begin(), residual.begin() + static_cast<ptrdiff_t>(n / 3), residual.end());
    for (const MomentumRule& rule :
         {MomentumRule{0.9f, false, 1.0f}, MomentumRule{0.9f, true, 0.3f},
          MomentumRule{0.9f, false, 1.0f, false}, MomentumRule{0.0f, threshold % 2 == 0, 1.0f}}) {
      std::vector<float> next_velocity(n), next_residual(n);
      GuardedEntries want(n, 0);
      const Swept expected = scalar::AccumulateMomentum(
          gradient, rule,
          {velocity.data(), residual.data(), next_velocity.data(), next_residual.data()}, threshold,
          kBase, want.entries());
      for (bool stream : {false, true}) {
        const size_t shift = stream ? 0 : misaligned;
        AlignedFloats velocities(shift + n + 8, kSentinel), residuals(shift + n + 8, kSentinel);
        GuardedEntries got(n, misaligned);
        const Swept swept = AccumulateMomentum(
            gradient, rule,
            {velocity.data(), residual.data(), velocities.data() + shift, residuals.data() + shift},
            stream, threshold, kBase, got.entries());
        FlushStreamed();
        ASSERT_TRUE(SameResult(swept, got.entries(), expected, want.entries())) << threshold;
        ASSERT_TRUE(SameFloats(std::span(velocities).subspan(shift), next_velocity));
        ASSERT_TRUE(SameFloats(std::span(residuals).subspan(shift), next_residual));
        ASSERT_TRUE(got.Untouched());
        for (size_t i = 0; i < 8; ++i) {
          ASSERT_EQ(velocities[shift + n + i], kSentinel);
          ASSERT_EQ(residuals[shift + n + i], kSentinel);
        }
      }
    }
  });
}

TEST_P(SweepTest, PartEntries) {
  ForSpans([](std::span<const float> values, size_t misaligned, uint32_t threshold) {
    const size_t n = values.size();
    GuardedEntries entries(n, misaligned), want(n, 0), want_dropped(n, 0), dropped(n, misaligned);
    for (size_t i = 0; i < n; ++i) {
      entries.entries().indices[i] = static_cast<uint32_t>(3 * i);
      entries.entries().values[i] = values[i];
    }
    const size_t kept = scalar::PartEntries(entries.entries(), n, threshold, 7, want.entries(),
                                            want_dropped.entries());
    // Onto itself, as when candidates are thinned out.
    ASSERT_EQ(PartEntries(entries.entries(), n, threshold, 7, entries.entries(), dropped.entries()),
              kept);
    ASSERT_TRUE(SameResult({kept, 0}, entries.entries(), {kept, 0}, want.entries()));
    ASSERT_TRUE(
        SameResult({n - kept, 0}, dropped.entries(), {n - kept, 0}, want_dropped.entries()));
    ASSERT_TRUE(entries.Untouched());
    ASSERT_TRUE(dropped.Untouched());
  });
}

TEST_P(SweepTest, CompactBetween) {
  ForSpans([](std::span<const float> values, size_t, uint32_t threshold) {
    const uint32_t low = std::min(threshold, kMagnitudeMask);
    for (uint32_t high : {low, low | 0xffffu, kMagnitudeMask}) {
      std::vector<uint32_t> want(values.size() + Entries::kPadding), got(want);
      const Between expected = scalar::CompactBetween(values, low, high, want.data());
      const Between between = CompactBetween(values, low, high, got.data());
      ASSERT_EQ(between.above, expected.above);
      ASSERT_EQ(between.within, expected.within);
      ASSERT_TRUE(std::equal(want.begin(), want.begin() + static_cast<ptrdiff_t>(expected.within),
                             got.begin()));
    }
  });
}

TEST_P(SweepTest, Divide) {
  ForSpans([](std::span<const float> values, size_t misaligned, uint32_t) {
    for (float divisor : {1.0f, 3.0f}) {
      std::vector<float> want(values.size());
      const bool finite = scalar::Divide(values, divisor, want.data());
      std::vector<float> got(misaligned + values.size() + 1, kSentinel);
      ASSERT_EQ(Divide(values, divisor, got.data() + misaligned, false), finite);
      ASSERT_TRUE(SameFloats(std::span(got).subspan(misaligned, values.size()), want));
      ASSERT_EQ(got.back(), kSentinel);
      AlignedFloats streamed(values.size());
      ASSERT_EQ(Divide(values, divisor, streamed.data(), true), finite);
      FlushStreamed();
      ASSERT_TRUE(SameFloats(streamed, want));
    }
  });
}

// A million elements on every target (reliability scorecard, row 5).
TEST_P(SweepTest, RandomInputs) {
  EXPECT_TRUE(HoldsFor(Cases(4'000), [&] {
    const Recipe recipe = *Recipes(200, 400, Pattern::kWithNonFinite);
    const auto threshold = *rc::gen::resize(100, rc::gen::arbitrary<uint32_t>());
    const std::vector<float> gradient = ValuesOf(recipe);
    const std::vector<float> old(gradient.rbegin(), gradient.rend());
    std::vector<float> next(gradient.size()), want_next(gradient.size());
    GuardedEntries want(gradient.size(), 0), got(gradient.size(), 0);
    // No NaN's: which payload a sum of two has, and so its magnitude, the instruction decides.
    const uint32_t at_least = threshold > kInfinityBits ? kTakeNothing : threshold;
    const Swept expected = scalar::AccumulateResidual(gradient, old.data(), want_next.data(),
                                                      at_least, 0, want.entries());
    const Swept swept =
        AccumulateResidual(gradient, old.data(), next.data(), false, at_least, 0, got.entries());
    RC_ASSERT(static_cast<bool>(SameResult(swept, got.entries(), expected, want.entries())));
    RC_ASSERT(static_cast<bool>(SameFloats(next, want_next)));
  }));
}

TEST_P(SweepTest, NonFiniteAtEveryPosition) {
  for (size_t length = 1; length <= 70; ++length) {
    std::vector<float> values(length, -std::numeric_limits<float>::max());
    const std::vector<float> zeros(length, 0.0f);
    std::vector<float> sum(length), other(length);
    GuardedEntries room(length, 0);
    const auto all_find = [&](bool finite) {
      return AllFinite(values) == finite && Divide(values, 2.0f, other.data(), false) == finite &&
             CompactAtLeast(values, kTakeNothing, 0, room.entries()).finite() == finite &&
             AccumulateResidual(values, zeros.data(), sum.data(), false, kTakeNothing, 0,
                                room.entries())
                     .finite() == finite &&
             AccumulateMomentum(zeros, {}, {zeros.data(), values.data(), other.data(), sum.data()},
                                false, kTakeNothing, 0, room.entries())
                     .finite() == finite;
    };
    ASSERT_TRUE(all_find(true));
    for (size_t i = 0; i < length; ++i) {
      for (uint32_t bad : {0x7f800000u, 0xff800000u, 0x7fc00000u, 0xffc00000u, 0x7f800001u}) {
        const float kept = std::exchange(values[i], std::bit_cast<float>(bad));
        ASSERT_TRUE(all_find(false)) << i << " of " << length;
        values[i] = kept;
      }
    }
  }
}

TEST_P(SweepTest, SumThatOverflowsIsNotFinite) {
  const std::vector<float> huge(37, std::numeric_limits<float>::max());
  std::vector<float> sum(37);
  GuardedEntries room(37, 0);
  EXPECT_FALSE(
      AccumulateResidual(huge, huge.data(), sum.data(), false, kTakeNothing, 0, room.entries())
          .finite());
}

TEST(ScalarSweep, ByHand) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  const std::vector<float> a = {1.0f, -2.0f, 0.0f, 4.0f};
  EXPECT_TRUE(scalar::AllFinite(a));
  EXPECT_FALSE(scalar::AllFinite(std::vector<float>{1.0f, -kInfinity}));
  EXPECT_FALSE(scalar::AllFinite(std::vector<float>{std::nanf(""), 1.0f}));

  const auto two = std::bit_cast<uint32_t>(2.0f);
  std::vector<uint32_t> indices(4);
  std::vector<float> values(4);
  const Entries entries{indices.data(), values.data()};
  EXPECT_EQ(scalar::CompactAtLeast(a, two + 1, 0, entries).taken, 1u);
  const Swept swept = scalar::CompactAtLeast(a, two, 100, entries);
  EXPECT_EQ(swept.taken, 2u);
  EXPECT_EQ(swept.largest, std::bit_cast<uint32_t>(4.0f));
  EXPECT_EQ(indices, (std::vector<uint32_t>{101, 103, 0, 0}));
  EXPECT_EQ(values, (std::vector<float>{-2.0f, 4.0f, 0.0f, 0.0f}));

  const std::vector<float> old = {0.5f, 2.0f, -0.25f, -8.0f};
  std::vector<float> next(4);
  EXPECT_EQ(scalar::AccumulateResidual(a, old.data(), next.data(), two, 0, entries).taken, 1u);
  EXPECT_EQ(next, (std::vector<float>{1.5f, 0.0f, -0.25f, 0.0f}));
  EXPECT_EQ(values[0], -4.0f);

  // velocity = 0.5 * old + g; residual += velocity, with Nesterov 0.5 * velocity + g.
  const std::vector<float> zeros(4);
  std::vector<float> velocity(4);
  scalar::AccumulateMomentum(a, {.momentum = 0.5f},
                             {old.data(), zeros.data(), velocity.data(), next.data()}, two, 0,
                             entries);
  EXPECT_EQ(velocity, (std::vector<float>{1.25f, -1.0f, -0.125f, 0.0f}));
  EXPECT_EQ(next, velocity) << "none reaches two";
  scalar::AccumulateMomentum(a, {.momentum = 0.5f, .nesterov = true},
                             {old.data(), zeros.data(), velocity.data(), next.data()}, two, 0,
                             entries);
  EXPECT_EQ(next, (std::vector<float>{1.625f, 0.0f, -0.0625f, 0.0f})) << "two are taken";
  EXPECT_EQ(velocity, (std::vector<float>{1.25f, 0.0f, -0.125f, 0.0f})) << "and masked";
  EXPECT_EQ(values[0], -2.5f);
  EXPECT_EQ(values[1], 4.0f);
}

INSTANTIATE_ON_SIMD_TARGETS(SweepTest);

}  // namespace
}  // namespace cddp

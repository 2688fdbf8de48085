// Top-K against the oracle, bit for bit.
#include <gtest/gtest.h>

#include "cddp/selection.h"
#include "core/oracle.h"
#include "tests/core/generators.h"
#include "tests/core/simd_target.h"

namespace cddp {
namespace {

bool SameSelection(const Selection& a, const Selection& b) {
  return a.indices == b.indices && SameBits(a.values, b.values);
}

class SelectionOnTarget : public OnSimdTarget {};
INSTANTIATE_ON_SIMD_TARGETS(SelectionOnTarget);

// A million inputs on every target (reliability scorecard).
TEST_P(SelectionOnTarget, EqualsTheOracle) {
  // One selector for all cases: its scratch memory must not leak from one to the next.
  const auto selector = MakeTopKSelector();
  EXPECT_TRUE(HoldsFor(Cases(1'000'000), [&] {
    const Recipe recipe = *Recipes(0, 130, Pattern::kWithNonFinite);
    const auto k = *rc::gen::inRange<size_t>(0, recipe.length + 3);
    const auto base = *rc::gen::inRange<uint32_t>(0, 0xffffff00u);
    const std::vector<float> values = ValuesOf(recipe);
    Selection selection;
    selector->Select(values, k, base, &selection);
    RC_ASSERT(SameSelection(selection, SelectTopKOracle(values, k, base)));
  }));
}

// Long enough for every digit of the magnitude to be looked at.
TEST_P(SelectionOnTarget, EqualsTheOracleWhereTheBracketIsNarrowed) {
  const auto selector = MakeTopKSelector();
  EXPECT_TRUE(HoldsFor(Cases(1'000), [&] {
    const Recipe recipe = *Recipes(4'100, 12'000, Pattern::kWithNonFinite);
    const auto k = *rc::gen::oneOf(rc::gen::inRange<size_t>(1, 60),
                                   rc::gen::inRange<size_t>(1, recipe.length));
    const std::vector<float> values = ValuesOf(recipe);
    Selection selection;
    selector->Select(values, k, 0, &selection);
    RC_ASSERT(SameSelection(selection, SelectTopKOracle(values, k)));
  }));
}

TEST_P(SelectionOnTarget, EveryShortLengthAndMisalignment) {
  const auto selector = MakeTopKSelector();
  for (size_t length = 0; length <= 40; ++length) {
    for (size_t misaligned = 0; misaligned <= 16; ++misaligned) {
      const std::vector<float> buffer =
          ValuesOf({Pattern::kFewDistinct, static_cast<uint32_t>(misaligned), misaligned + length});
      const auto values = std::span(buffer).subspan(misaligned);
      for (size_t k = 0; k <= length; ++k) {
        Selection selection;
        selector->Select(values, k, 7, &selection);
        ASSERT_TRUE(SameSelection(selection, SelectTopKOracle(values, k, 7)))
            << length << " elements at " << misaligned << ", k " << k;
      }
    }
  }
}

TEST(SelectionProperty, AppendsToWhatIsThere) {
  const auto selector = MakeTopKSelector();
  const std::vector<float> first = ValuesOf({Pattern::kUniform, 1, 50});
  const std::vector<float> second = ValuesOf({Pattern::kUniform, 2, 70});
  Selection selection;
  selector->Select(first, 5, 0, &selection);
  selector->Select(second, 70, 50, &selection);
  selector->Select(second, 3, 120, &selection);

  Selection want;
  for (const Selection& part : {SelectTopKOracle(first, 5, 0), SelectTopKOracle(second, 70, 50),
                                SelectTopKOracle(second, 3, 120)}) {
    want.indices.insert(want.indices.end(), part.indices.begin(), part.indices.end());
    want.values.insert(want.values.end(), part.values.begin(), part.values.end());
  }
  EXPECT_TRUE(SameSelection(selection, want));
}

TEST(SelectionProperty, BaseReachesTheLastIndex) {
  Selection selection;
  const std::vector<float> values = {1.0f, 2.0f, 3.0f, 4.0f};
  MakeTopKSelector()->Select(values, 2, 0xfffffffcu, &selection);
  EXPECT_EQ(selection.indices, (std::vector<uint32_t>{0xfffffffeu, 0xffffffffu}));
}

// More ties than candidates are kept for.
TEST_P(SelectionOnTarget, HugeTie) {
  const auto selector = MakeTopKSelector();
  std::vector<float> values(200'000, 0.5f);
  for (size_t i = 0; i < values.size(); i += 3) values[i] = -0.5f;
  for (size_t i = 1'000; i < values.size(); i += 10'000) values[i] = static_cast<float>(i);
  for (size_t i = 2; i < values.size(); i += 7) values[i] = 0.25f;
  for (size_t k : {1, 19, 20, 21, 22, 1'000, 30'000}) {
    Selection selection;
    selector->Select(values, k, 11, &selection);
    EXPECT_TRUE(SameSelection(selection, SelectTopKOracle(values, k, 11))) << k;
  }
}

// The largest magnitude there is, many times.
TEST_P(SelectionOnTarget, TieOfTheLargestNaN) {
  const std::vector<float> values(1'000, std::bit_cast<float>(0x7fffffffu));
  for (size_t k : {1, 64, 500, 999}) {
    Selection selection;
    MakeTopKSelector()->Select(values, k, 0, &selection);
    EXPECT_TRUE(SameSelection(selection, SelectTopKOracle(values, k))) << k;
  }
}

TEST(SelectionProperty, HugeTieOfZeros) {
  std::vector<float> values(20'000, 0.0f);
  values[19'999] = -1.0f;
  Selection selection;
  MakeTopKSelector()->Select(values, 3, 0, &selection);
  EXPECT_EQ(selection.indices, (std::vector<uint32_t>{0, 1, 19'999}));
}

}  // namespace
}  // namespace cddp

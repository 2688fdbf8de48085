// Top-K over steps, with the thresholds that it keeps, several threads and a
// memory: always what the oracle selects from the accumulated values.
#include <gtest/gtest.h>

#include <map>

#include "cddp/memory.h"
#include "cddp/selection.h"
#include "core/oracle.h"
#include "tests/core/generators.h"
#include "tests/core/simd_target.h"

namespace cddp {
namespace {

// A parameter's steps through a residual memory, beside a plain model of them.
class Steps {
 public:
  Steps(size_t elements, int threads)
      : selector_(MakeTopKSelector(threads)), memory_(MakeResidualMemory()), model_(elements) {}

  // One step; fails when the selection or what is left is not as it must be.
  ::testing::AssertionResult Take(const std::vector<float>& gradient, size_t k) {
    for (size_t i = 0; i < gradient.size(); ++i) model_[i] += gradient[i];
    const Selection want = SelectTopKOracle(model_, k, 5);

    Accumulation* accumulation = nullptr;
    if (!memory_->Accumulate("p", gradient, &accumulation).ok()) {
      return ::testing::AssertionFailure() << "not accumulated";
    }
    Selection got;
    selector_->Select("p", *accumulation, k, 5, &got);
    memory_->Settle("p", 5, got.indices, got.values, got.values);
    memory_->Commit();
    if (got.indices != want.indices) return ::testing::AssertionFailure() << "other indices";
    if (!SameBits(got.values, want.values)) return ::testing::AssertionFailure() << "other values";
    for (uint32_t index : want.indices) model_[index - 5] = 0.0f;
    if (!SameBits(memory_->Save().at("p"), model_)) {
      return ::testing::AssertionFailure() << "another residual";
    }
    return ::testing::AssertionSuccess();
  }

  const Selector& selector() const { return *selector_; }

 private:
  std::unique_ptr<Selector> selector_;
  std::unique_ptr<Memory> memory_;
  std::vector<float> model_;
};

std::vector<float> Gradient(uint64_t seed, size_t elements, float scale) {
  RandomBits bits(seed);
  std::vector<float> gradient(elements);
  for (float& value : gradient) value = scale * bits.Gradient();
  return gradient;
}

class TopKThreads : public ::testing::TestWithParam<int> {};

// Several chunks, not a multiple of them; more than one thread can be at work.
constexpr size_t kElements = 5 * Accumulation::kChunkElements + 77;

TEST_P(TopKThreads, EqualsTheOracleStepByStep) {
  for (size_t k : {size_t{1}, size_t{80}, size_t{820}, size_t{8'200}, kElements - 1}) {
    Steps steps(kElements, GetParam());
    for (uint64_t step = 0; step < (CDDP_CASE_DIVISOR > 1 ? 4 : 12); ++step) {
      ASSERT_TRUE(steps.Take(Gradient(step, kElements, 1.0f), k)) << "k " << k << ", step " << step;
    }
  }
}

class TopKOnTarget : public OnSimdTarget {};
INSTANTIATE_ON_SIMD_TARGETS(TopKOnTarget);

TEST_P(TopKOnTarget, EqualsTheOracleStepByStep) {
  for (size_t k : {size_t{1}, size_t{820}, size_t{40'000}}) {
    Steps steps(kElements, 2);
    for (uint64_t step = 0; step < 4; ++step) {
      ASSERT_TRUE(steps.Take(Gradient(step, kElements, 1.0f), k)) << "k " << k << ", step " << step;
    }
  }
}

// Many ties, with the last one that counts in any chunk.
TEST_P(TopKOnTarget, Ties) {
  std::vector<float> gradient(kElements);
  for (size_t i = 0; i < kElements; ++i) gradient[i] = static_cast<float>(i % 7);
  for (size_t k : {size_t{9}, kElements / 9, kElements / 7 + 3, kElements / 2}) {
    Steps steps(kElements, 2);
    for (int step = 0; step < 3; ++step) ASSERT_TRUE(steps.Take(gradient, k)) << "k " << k;
  }
}

// The kept threshold is far too high, then far too low.
TEST_P(TopKThreads, GradientsThatChangeSuddenly) {
  Steps steps(kElements, GetParam());
  uint64_t step = 0;
  for (float scale : {1.0f, 1.0f, 1e-6f, 1e-6f, 1e6f, 1.0f, 0.0f, 0.0f, 1e-30f, 1e30f, 1.0f}) {
    // So many that little is left over from larger gradients.
    ASSERT_TRUE(steps.Take(Gradient(++step, kElements, scale), kElements - 5)) << "step " << step;
  }
  EXPECT_GT(steps.selector().second_sweeps(), 0u) << "no step had too few candidates";
}

TEST_P(TopKThreads, EveryKindOfValues) {
  for (int pattern = 0; pattern < static_cast<int>(Pattern::kWithNonFinite); ++pattern) {
    if (static_cast<Pattern>(pattern) == Pattern::kHuge) continue;  // their sums overflow
    Steps steps(kElements, GetParam());
    for (uint32_t step = 0; step < 3; ++step) {
      std::vector<float> gradient = ValuesOf({static_cast<Pattern>(pattern), step, kElements});
      if (static_cast<Pattern>(pattern) == Pattern::kRawFinite) {
        for (float& value : gradient) value *= 0.25f;
      }
      ASSERT_TRUE(steps.Take(gradient, 1'000)) << "pattern " << pattern << ", step " << step;
    }
  }
}

// All of the largest in one chunk, in ascending order: the worst for a threshold
// that rises as they come.
TEST_P(TopKThreads, LargestInOneChunk) {
  Steps steps(kElements, GetParam());
  for (int step = 0; step < 4; ++step) {
    std::vector<float> gradient(kElements, 0.001f);
    for (size_t i = 0; i < 10'000; ++i) gradient[30'000 + i] = 1.0f + static_cast<float>(i);
    ASSERT_TRUE(steps.Take(gradient, 9'000)) << step;
  }
}

// So many chunks that the threshold rises on the evidence of the first ones, which
// mislead where the large elements crowd together.
TEST_P(TopKThreads, MisleadingFirstChunks) {
  constexpr size_t kMany = (CDDP_CASE_DIVISOR > 1 ? 14 : 40) * Accumulation::kChunkElements + 5;
  constexpr size_t kLarge = 20'000;
  RandomBits bits(1);
  std::vector<float> noise(kMany);
  for (float& value : noise) value = bits.Gradient();
  std::vector<float> ascending = noise, descending;
  std::ranges::sort(ascending);
  descending.assign(ascending.rbegin(), ascending.rend());
  std::vector<std::vector<float>> gradients = {ascending, descending, noise};
  for (size_t begin = 0; begin + kLarge <= kMany; begin += 13 * Accumulation::kChunkElements) {
    gradients.push_back(noise);
    for (size_t i = 0; i < kLarge; ++i) gradients.back()[begin + i] += 3.0f;
  }
  for (size_t g = 0; g < gradients.size(); ++g) {
    Steps steps(kMany, GetParam());
    ASSERT_TRUE(steps.Take(gradients[g], kLarge)) << "cold, gradient " << g;
    ASSERT_TRUE(steps.Take(gradients[g], kLarge)) << "gradient " << g;
    ASSERT_TRUE(steps.Take(gradients[(g + 1) % gradients.size()], kLarge)) << "then another";
  }
}

// Its relative change overflows: the forecast must survive that.
TEST(TopK, FromDenormalToLarge) {
  const auto selector = MakeTopKSelector();
  for (float scale : {1e-42f, 1e3f, 1e3f, 1e-42f, 1e-42f, 1e30f, 1.0f}) {
    std::vector<float> values(1'500);
    for (size_t i = 0; i < values.size(); ++i) values[i] = scale * static_cast<float>(1 + i);
    const auto memory = MakeNoMemory();
    Accumulation* accumulation = nullptr;
    ASSERT_TRUE(memory->Accumulate("p", values, &accumulation).ok());
    Selection got;
    selector->Select("p", *accumulation, 15, 0, &got);
    const Selection want = SelectTopKOracle(values, 15);
    ASSERT_EQ(got.indices, want.indices) << scale;
  }
}

INSTANTIATE_TEST_SUITE_P(TopK, TopKThreads, ::testing::Values(1, 2, 4));

// Real training drifts: one sweep is enough in nearly every step.
TEST(TopK, SecondSweepsAreRare) {
  constexpr size_t kFew = 20'000;
  Steps steps(kFew, 1);
  const std::vector<float> direction = Gradient(1, kFew, 1.0f);
  for (uint64_t step = 0; step < 300; ++step) {
    std::vector<float> gradient = Gradient(step + 2, kFew, 1.0f);
    const float scale = std::exp(-0.003f * static_cast<float>(step));
    for (size_t i = 0; i < kFew; ++i) gradient[i] = scale * (gradient[i] + direction[i]);
    ASSERT_TRUE(steps.Take(gradient, 200));
  }
  EXPECT_EQ(steps.selector().calls(), 300u);
  EXPECT_LE(steps.selector().second_sweeps(), 3u);
}

TEST(TopK, NonFiniteSumsAreFoundInAnyChunk) {
  for (size_t at : {size_t{0}, size_t{20'000}, kElements - 1}) {
    const auto memory = MakeResidualMemory();
    const auto selector = MakeTopKSelector(2);
    std::vector<float> gradient = Gradient(1, kElements, 1.0f);
    gradient[at] = std::nanf("");
    Accumulation* accumulation = nullptr;
    ASSERT_TRUE(memory->Accumulate("p", gradient, &accumulation).ok());
    Selection selection;
    selector->Select("p", *accumulation, 100, 0, &selection);
    EXPECT_FALSE(accumulation->finite()) << at;
    memory->Void();
    EXPECT_TRUE(SameBits(memory->Save().at("p"), std::vector<float>(kElements)));
  }
}

// A parameter of 2^32 - 1 elements that exist only where they are large: no memory
// has to hold it, but every index is worked out.
class HugeAccumulation final : public Accumulation {
 public:
  explicit HugeAccumulation(std::map<uint32_t, float> large) : large_(std::move(large)) {
    Begin({&background_, 0xffffffffu});
  }

  void TakeOut(std::span<const uint32_t>, float*) override {}
  void TakeAll(float*) override {}
  void PutBack(std::span<const uint32_t>, std::span<const float>) override {}
  float Peek(size_t) const override { return 1.5f; }

 private:
  Swept DoSweep(Pass, size_t begin, size_t count, uint32_t threshold, Entries out) override {
    EXPECT_GT(threshold, std::bit_cast<uint32_t>(background_));
    Swept swept;
    for (auto it = large_.lower_bound(static_cast<uint32_t>(begin));
         it != large_.end() && it->first < begin + count; ++it) {
      out.indices[swept.taken] = it->first;
      out.values[swept.taken++] = it->second;
    }
    return swept;
  }
  std::span<const float> SweptValues() const override { return {}; }

  const float background_ = 1.0f;
  const std::map<uint32_t, float> large_;
};

TEST(TopK, IndicesBeyondTwoToTheThirtyOne) {
  HugeAccumulation accumulation({{0u, 5.0f},
                                 {7u, 2.0f},
                                 {0x7fffffffu, -4.0f},
                                 {0x80000000u, 3.0f},
                                 {0xc0000001u, -6.0f},
                                 {0xfffffffeu, 7.0f}});
  const auto selector = MakeTopKSelector(2);
  Selection selection;
  selector->Select("huge", accumulation, 5, 0, &selection);
  EXPECT_EQ(selection.indices,
            (std::vector<uint32_t>{0, 0x7fffffffu, 0x80000000u, 0xc0000001u, 0xfffffffeu}));
  EXPECT_EQ(selection.values, (std::vector<float>{5.0f, -4.0f, 3.0f, -6.0f, 7.0f}));
}

}  // namespace
}  // namespace cddp

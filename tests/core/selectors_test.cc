// The selectors besides Top-K: random-k, threshold and block.
#include <gtest/gtest.h>

#include "cddp/memory.h"
#include "cddp/selection.h"
#include "tests/core/generators.h"

namespace cddp {
namespace {

std::unique_ptr<Selector> CreateSelector(const SelectorOptions& options) {
  std::unique_ptr<Selector> selector;
  EXPECT_TRUE(MakeSelector(options, &selector).ok());
  return selector;
}

// What every selector owes, whatever its rule.
class AnySelector : public ::testing::TestWithParam<std::string> {};

TEST_P(AnySelector, EntriesAreAscendingAndKeepTheirValues) {
  for (size_t length : {1, 2, 63, 64, 65, 1'000, 40'000}) {
    for (size_t k : {size_t{1}, length / 10 + 1, length}) {
      const std::vector<float> values =
          ValuesOf({Pattern::kUniform, static_cast<uint32_t>(length), length});
      Selection selection;
      CreateSelector({.name = GetParam(), .threshold = 0.5})->Select(values, k, 10, &selection);
      ASSERT_LE(selection.size(), k);
      ASSERT_TRUE(selection.size() == k || GetParam() == "threshold");
      for (size_t i = 0; i < selection.size(); ++i) {
        ASSERT_EQ(selection.values[i], values[selection.indices[i] - 10]);
        ASSERT_TRUE(i == 0 || selection.indices[i - 1] < selection.indices[i]);
      }
    }
  }
}

TEST_P(AnySelector, MoreThanThereAreIsAll) {
  const std::vector<float> values = ValuesOf({Pattern::kUniform, 5, 100'000});
  for (size_t k : {values.size() + 1, size_t{1} << 63, SIZE_MAX}) {
    Selection selection;
    CreateSelector({.name = GetParam(), .threshold = 1e-30})->Select(values, k, 0, &selection);
    EXPECT_GT(selection.size(), values.size() - 10) << k;
    EXPECT_LE(selection.size(), values.size());
  }
}

TEST_P(AnySelector, WhatIsTakenLeavesTheMemoryAndTheRestStays) {
  const auto selector = CreateSelector({.name = GetParam(), .threshold = 0.5});
  for (const char* name : {"residual", "dgc"}) {
    std::unique_ptr<Memory> memory;
    ASSERT_TRUE(MakeMemory({.name = name, .momentum_masking = true}, &memory).ok());
    const std::vector<float> gradient = ValuesOf({Pattern::kUniform, 3, 40'000});
    Accumulation* accumulation = nullptr;
    ASSERT_TRUE(memory->Accumulate("p", gradient, &accumulation).ok());
    Selection selection;
    selector->Select("p", *accumulation, 400, 0, &selection);
    ASSERT_GT(selection.size(), 0u);
    memory->Settle("p", 0, selection.indices, selection.values, selection.values);
    memory->Commit();
    std::vector<float> rest = gradient;
    for (uint32_t index : selection.indices) rest[index] = 0.0f;
    for (const auto& [part, values] : memory->Save()) {
      // In the first step of dgc the velocity is the gradient, masked where sent.
      EXPECT_TRUE(SameBits(values, rest)) << part;
    }
  }
}

TEST_P(AnySelector, ZeroEntriesOfAnEmptyParameter) {
  Selection selection;
  CreateSelector({.name = GetParam()})->Select(std::span<const float>(), 3, 0, &selection);
  CreateSelector({.name = GetParam()})->Select(std::vector<float>{1.0f}, 0, 0, &selection);
  EXPECT_EQ(selection.size(), 0u);
}

INSTANTIATE_TEST_SUITE_P(Names, AnySelector, ::testing::ValuesIn(SelectorNames()),
                         [](const auto& info) { return info.param; });

TEST(RandomK, SameSeedSameEntriesOnEveryRank) {
  const auto a = MakeRandomKSelector(7), b = MakeRandomKSelector(7), c = MakeRandomKSelector(8);
  const std::vector<float> ours = ValuesOf({Pattern::kUniform, 1, 5'000});
  const std::vector<float> theirs = ValuesOf({Pattern::kUniform, 2, 5'000});
  std::vector<uint32_t> last;
  for (int step = 0; step < 3; ++step) {
    Selection first, second, other;
    a->Select(ours, 50, 0, &first);
    b->Select(theirs, 50, 0, &second);
    c->Select(ours, 50, 0, &other);
    EXPECT_EQ(first.indices, second.indices);
    EXPECT_NE(first.indices, other.indices);
    EXPECT_NE(first.indices, last) << "another step draws others";
    last = first.indices;
  }
}

TEST(RandomK, EveryElementIsAsLikely) {
  const auto selector = MakeRandomKSelector(1);
  const std::vector<float> values(100, 1.0f);
  std::vector<int> drawn(100);
  for (int step = 0; step < 10'000; ++step) {
    Selection selection;
    selector->Select(values, 10, 0, &selection);
    for (uint32_t index : selection.indices) ++drawn[index];
  }
  // Mean 1000, standard deviation 30.
  for (int count : drawn) EXPECT_NEAR(count, 1'000, 150);
}

TEST(Threshold, TakesWhatReachesItAndAtMostK) {
  const std::vector<float> values = {0.5f, -0.6f, 0.49f, 2.0f, -0.5f};
  Selection all, two;
  MakeThresholdSelector(0.5)->Select(values, 5, 0, &all);
  EXPECT_EQ(all.indices, (std::vector<uint32_t>{0, 1, 3, 4}));
  MakeThresholdSelector(0.5)->Select(values, 2, 0, &two);
  EXPECT_EQ(two.indices, (std::vector<uint32_t>{1, 3}));
}

// The chunks that are swept first have more of the large values, and larger ones, than
// the others; they must not hide those.
TEST(Threshold, FindsWhatReachesItInAllChunks) {
  constexpr size_t kChunk = Accumulation::kChunkElements;
  std::vector<float> values(40 * kChunk, 0.1f);
  for (size_t chunk = 0; chunk < 40; ++chunk) {
    for (size_t i = 0; i < 700; ++i) values[chunk * kChunk + i] = 1.0f;
  }
  for (size_t chunk : {0, 27, 14, 1, 28, 15, 2, 29}) {
    for (size_t i = 0; i < 1'500; ++i) values[chunk * kChunk + i] = 2.0f + static_cast<float>(i);
  }
  Selection selection;
  MakeThresholdSelector(0.5)->Select(values, 20'000, 0, &selection);
  EXPECT_EQ(selection.size(), 20'000u);
}

TEST(Block, TakesTheBlocksOfLargestNorm) {
  // Norms of the blocks of two: 5, 1.41, 6 and (one element) 3.
  const std::vector<float> values = {3.0f, 4.0f, 1.0f, 1.0f, 0.0f, -6.0f, 3.0f};
  const auto selector = MakeBlockSelector(2);
  const auto select = [&](size_t k) {
    Selection selection;
    selector->Select(values, k, 0, &selection);
    return selection.indices;
  };
  EXPECT_EQ(select(2), (std::vector<uint32_t>{4, 5}));
  EXPECT_EQ(select(4), (std::vector<uint32_t>{0, 1, 4, 5}));
  EXPECT_EQ(select(3), (std::vector<uint32_t>{0, 4, 5})) << "the last block is cut";
  EXPECT_EQ(select(6), (std::vector<uint32_t>{0, 1, 2, 4, 5, 6})) << "a short block is made up for";
}

}  // namespace
}  // namespace cddp

// Exact Top-K on examples that are right by inspection.
#include "cddp/selection.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

#include "core/oracle.h"
#include "tests/core/random_bits.h"

namespace cddp {
namespace {

using Indices = std::vector<uint32_t>;
using Values = std::vector<float>;

Selection TopK(const Values& values, size_t k, uint32_t base = 0) {
  Selection selection;
  MakeTopKSelector()->Select(values, k, base, &selection);
  return selection;
}

TEST(Selection, SelectsTheLargestMagnitudes) {
  const Selection selection = TopK({0.1f, -5.0f, 2.0f, 0.5f, 3.0f, -0.2f}, 3);
  EXPECT_EQ(selection.indices, (Indices{1, 2, 4}));
  EXPECT_EQ(selection.values, (Values{-5.0f, 2.0f, 3.0f}));
}

TEST(Selection, NegativeSigns) {
  const Selection selection = TopK({-1.0f, -4.0f, -2.0f, -3.0f, 1.5f}, 2);
  EXPECT_EQ(selection.indices, (Indices{1, 3}));
  EXPECT_EQ(selection.values, (Values{-4.0f, -3.0f}));
}

TEST(Selection, ZeroTensor) {
  const Selection selection = TopK(Values(100, 0.0f), 5);
  EXPECT_EQ(selection.indices, (Indices{0, 1, 2, 3, 4}));
  EXPECT_EQ(selection.values, Values(5, 0.0f));
}

TEST(Selection, SingleSpike) {
  for (size_t spike = 0; spike < 100; ++spike) {
    Values values(100, 0.0f);
    values[spike] = -1e-40f;
    const Selection selection = TopK(values, 1);
    ASSERT_EQ(selection.indices, Indices{static_cast<uint32_t>(spike)});
    ASSERT_EQ(selection.values, Values{-1e-40f});
  }
}

TEST(Selection, KIsOne) {
  EXPECT_EQ(TopK({1.0f, -7.0f, 7.0f, 3.0f}, 1).indices, Indices{1})
      << "ties go to the lowest index";
}

TEST(Selection, KIsZeroOrMoreThanThereAre) {
  EXPECT_EQ(TopK({1.0f, 2.0f}, 0).size(), 0u);
  EXPECT_EQ(TopK({}, 0).size(), 0u);
  EXPECT_EQ(TopK({}, 3).size(), 0u);
  EXPECT_EQ(TopK({1.0f, 2.0f}, 9).indices, (Indices{0, 1}));
}

TEST(Selection, FullRatio) {
  const Values values = {0.0f, -1.0f, 2.0f, -0.0f};
  const Selection selection = TopK(values, SelectionCount(values.size(), 1.0), 10);
  EXPECT_EQ(selection.indices, (Indices{10, 11, 12, 13}));
  EXPECT_EQ(selection.values, values);
}

TEST(Selection, TiesGoToTheLowestIndex) {
  EXPECT_EQ(TopK({1, 2, -2, 2, 1, -2, 3}, 3).indices, (Indices{1, 2, 6}));
}

TEST(Selection, NonFiniteValuesCountAsTheLargest) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
  constexpr float kMax = std::numeric_limits<float>::max();
  EXPECT_EQ(TopK({kMax, -kInfinity, 1.0f, kNaN, kInfinity}, 1).indices, Indices{3});
  EXPECT_EQ(TopK({kMax, -kInfinity, 1.0f, kNaN, kInfinity}, 2).indices, (Indices{1, 3}));
  EXPECT_EQ(TopK({kMax, -kInfinity, 1.0f, kNaN, kInfinity}, 4).indices, (Indices{0, 1, 3, 4}));
}

TEST(Selection, LargeTensor) {
  constexpr size_t kElements = 10'000'000;
  constexpr size_t kCount = 100'000;
  Values values(kElements);
  RandomBits bits(42);
  for (float& value : values) value = static_cast<float>(static_cast<int32_t>(bits() >> 32));

  const Selection selection = TopK(values, kCount);
  ASSERT_EQ(selection.size(), kCount);
  float smallest = std::numeric_limits<float>::infinity();
  for (size_t i = 0; i < kCount; ++i) {
    ASSERT_TRUE(i == 0 || selection.indices[i - 1] < selection.indices[i]);
    ASSERT_EQ(values[selection.indices[i]], selection.values[i]);
    smallest = std::min(smallest, std::abs(selection.values[i]));
  }
  // Nothing larger than the smallest sent was left behind.
  const auto larger = [&](float value) { return std::abs(value) > smallest; };
  EXPECT_EQ(std::count_if(values.begin(), values.end(), larger),
            std::count_if(selection.values.begin(), selection.values.end(), larger));
}

TEST(Selection, OracleByHand) {
  const Selection selection =
      SelectTopKOracle(Values{1.0f, -3.0f, 0.0f, 3.0f, -1.0f, 2.0f}, 4, 100);
  EXPECT_EQ(selection.indices, (Indices{100, 101, 103, 105}));
  EXPECT_EQ(selection.values, (Values{1.0f, -3.0f, 3.0f, 2.0f}));
  EXPECT_EQ(SelectTopKOracle(Values{1.0f, 2.0f}, 5).indices, (Indices{0, 1}));
}

TEST(Selection, Factory) {
  std::unique_ptr<Selector> selector;
  for (const std::string& name : SelectorNames()) {
    ASSERT_TRUE(MakeSelector({.name = name}, &selector).ok());
    EXPECT_EQ(selector->name(), name);
  }
  for (double bad : {0.0, -1.0, std::nan("")}) {
    EXPECT_EQ(MakeSelector({.name = "threshold", .threshold = bad}, &selector).code(),
              StatusCode::kInvalidArgument);
  }
  EXPECT_EQ(MakeSelector({.name = "block", .block = 0}, &selector).code(),
            StatusCode::kInvalidArgument);
  EXPECT_EQ(MakeSelector({.threads = 0}, &selector).code(), StatusCode::kInvalidArgument);

  for (const std::string name : {"", "TopK", "random"}) {
    const Status status = MakeSelector({.name = name}, &selector);
    EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
    EXPECT_NE(status.message().find('"' + name + '"'), std::string::npos);
    EXPECT_NE(status.message().find("known: topk"), std::string::npos) << status.message();
  }
}

}  // namespace
}  // namespace cddp

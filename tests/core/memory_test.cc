// What the memory keeps, step by step.
#include "cddp/memory.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>

#include "tests/core/generators.h"

namespace cddp {
namespace {

using Values = std::vector<float>;

// One step of one parameter, of which the entries `indices` are sent as they are.
Values Step(Memory& memory, const std::string& parameter, const Values& gradient,
            const std::vector<uint32_t>& indices, uint32_t base = 0) {
  Accumulation* accumulation = nullptr;
  EXPECT_TRUE(memory.Accumulate(parameter, gradient, &accumulation).ok());
  const std::span<const float> accumulated = accumulation->Values();
  const Values values(accumulated.begin(), accumulated.end());
  Values sent(indices.size());
  accumulation->TakeOut(indices, sent.data());
  std::vector<uint32_t> shifted;
  for (uint32_t index : indices) shifted.push_back(base + index);
  memory.Settle(parameter, base, shifted, sent, sent);
  memory.Commit();
  return values;
}

TEST(Memory, FirstCallIsZero) {
  for (const char* name : {"none", "residual", "dgc"}) {
    std::unique_ptr<Memory> memory;
    ASSERT_TRUE(MakeMemory({.name = name}, &memory).ok());
    const Values gradient = {1.0f, -2.0f, 0.0f};
    Accumulation* accumulation = nullptr;
    ASSERT_TRUE(memory->Accumulate("p", gradient, &accumulation).ok());
    EXPECT_TRUE(SameBits(accumulation->Values(), gradient)) << name;
    EXPECT_TRUE(accumulation->finite());
  }
}

TEST(Memory, Accumulation) {
  const auto memory = MakeResidualMemory();
  EXPECT_EQ(Step(*memory, "p", {1.0f, 2.0f, 4.0f}, {2}), (Values{1.0f, 2.0f, 4.0f}));
  EXPECT_EQ(memory->Save().at("p"), (Values{1.0f, 2.0f, 0.0f}));
  EXPECT_EQ(Step(*memory, "p", {1.0f, 2.0f, 4.0f}, {1}, 1000), (Values{2.0f, 4.0f, 4.0f}));
  EXPECT_EQ(memory->Save().at("p"), (Values{2.0f, 0.0f, 4.0f}));
}

TEST(Memory, ResidualNormIsThatOfWhatIsKept) {
  for (const char* name : {"residual", "dgc"}) {
    std::unique_ptr<Memory> memory;
    ASSERT_TRUE(MakeMemory({.name = name}, &memory).ok());
    EXPECT_EQ(NormOf(memory->ResidualNorms()), 0);
    Step(*memory, "p", {3.0f, 4.0f, 9.0f}, {2});
    EXPECT_EQ(NormOf(memory->ResidualNorms()), 5) << name;
    Step(*memory, "q", {12.0f}, {});
    EXPECT_EQ(NormOf(memory->ResidualNorms()), 13) << name << ": over all parameters";
  }
  EXPECT_EQ(NormOf(MakeNoMemory()->ResidualNorms()), 0);
}

// What a value codec rounds away stays: the decoded value leaves, not the selected one.
TEST(Memory, DecodedValuesLeaveTheMemory) {
  const auto memory = MakeResidualMemory();
  const Values gradient = {1.0f, 2.75f};
  Accumulation* accumulation = nullptr;
  ASSERT_TRUE(memory->Accumulate("p", gradient, &accumulation).ok());
  accumulation->Values();
  Values taken(1);
  accumulation->TakeOut(std::vector<uint32_t>{1}, taken.data());
  EXPECT_EQ(taken, Values{2.75f});
  memory->Settle("p", 5, std::vector<uint32_t>{6}, taken, Values{2.5f});
  memory->Commit();
  EXPECT_EQ(memory->Save().at("p"), (Values{1.0f, 0.25f}));
}

TEST(Memory, ParametersAreIndependent) {
  const auto memory = MakeResidualMemory();
  Step(*memory, "a", {1.0f, 1.0f}, {0});
  Step(*memory, "b", {5.0f, 6.0f, 7.0f}, {2});
  Step(*memory, "a", {1.0f, 1.0f}, {0});
  EXPECT_EQ(memory->Save(), (MemoryState{{"a", {0.0f, 2.0f}}, {"b", {5.0f, 6.0f, 0.0f}}}));
}

TEST(Memory, CommitOnlyTouchesAccumulatedParameters) {
  const auto memory = MakeResidualMemory();
  Step(*memory, "a", {1.0f, 2.0f}, {});
  Step(*memory, "b", {3.0f}, {});
  const Values a = memory->Save().at("a");
  // Swapping an idle parameter would bring back the state before its last step.
  Step(*memory, "b", {4.0f}, {});
  EXPECT_TRUE(SameBits(memory->Save().at("a"), a));
  EXPECT_EQ(memory->Save().at("b"), Values{7.0f});
  memory->Commit();
  memory->Commit();
  EXPECT_TRUE(SameBits(memory->Save().at("a"), a));
  EXPECT_EQ(memory->Save().at("b"), Values{7.0f});
}

TEST(Memory, VoidLeavesMemoryBitIdentical) {
  const auto memory = MakeResidualMemory();
  Step(*memory, "a", ValuesOf({Pattern::kRawFinite, 1, 100}), {3, 4});
  Step(*memory, "b", ValuesOf({Pattern::kDenormals, 2, 30}), {});
  const MemoryState before = memory->Save();

  const Values gradient = ValuesOf({Pattern::kWithNonFinite, 3, 100});
  Accumulation* accumulation = nullptr;
  ASSERT_TRUE(memory->Accumulate("a", gradient, &accumulation).ok());
  accumulation->Values();
  EXPECT_FALSE(accumulation->finite());
  Values taken(1);
  accumulation->TakeOut(std::vector<uint32_t>{7}, taken.data());
  memory->Void();
  memory->Commit();  // of a step without parameters

  for (const auto& [parameter, values] : memory->Save()) {
    EXPECT_TRUE(SameBits(values, before.at(parameter))) << parameter;
  }
  // And the next step starts from there.
  const Values zeros(100, 0.0f);
  ASSERT_TRUE(memory->Accumulate("a", zeros, &accumulation).ok());
  const std::span<const float> again = accumulation->Values();
  EXPECT_EQ(Values(again.begin(), again.end()), before.at("a"));
}

TEST(Memory, NonFiniteIsFound) {
  constexpr float kMax = std::numeric_limits<float>::max();
  const auto memory = MakeResidualMemory();
  Step(*memory, "p", {kMax, 0.0f}, {});
  for (const Values& gradient : {Values{kMax, 0.0f}, Values{0.0f, std::nanf("")},
                                 Values{-std::numeric_limits<float>::infinity(), 0.0f}}) {
    Accumulation* accumulation = nullptr;
    ASSERT_TRUE(memory->Accumulate("p", gradient, &accumulation).ok());
    accumulation->Values();
    EXPECT_FALSE(accumulation->finite());
    memory->Void();
  }
  Accumulation* accumulation = nullptr;
  const Values fine = {-kMax, 1.0f};
  ASSERT_TRUE(memory->Accumulate("p", fine, &accumulation).ok());
  accumulation->Values();
  EXPECT_TRUE(accumulation->finite());
}

TEST(Memory, SizeChangeRefused) {
  const auto memory = MakeResidualMemory();
  Step(*memory, "layer.weight", {1.0f, 2.0f}, {});
  for (size_t elements : {0, 1, 3}) {
    Accumulation* accumulation = nullptr;
    const Status status = memory->Accumulate("layer.weight", Values(elements), &accumulation);
    EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
    EXPECT_NE(status.message().find("layer.weight has " + std::to_string(elements) + " elements"),
              std::string::npos)
        << status.message();
  }
  EXPECT_EQ(memory->Save().at("layer.weight"), (Values{1.0f, 2.0f}));
}

TEST(Memory, NoneKeepsNothing) {
  const auto memory = MakeNoMemory();
  EXPECT_EQ(Step(*memory, "p", {1.0f, 2.0f}, {1}), (Values{1.0f, 2.0f}));
  EXPECT_EQ(Step(*memory, "p", {1.0f, 2.0f}, {1}), (Values{1.0f, 2.0f}));
  EXPECT_EQ(Step(*memory, "p", {3.0f}, {}), Values{3.0f}) << "nor does it keep a size";
  Accumulation* accumulation = nullptr;
  const Values bad = {1.0f, std::nanf("")};
  ASSERT_TRUE(memory->Accumulate("p", bad, &accumulation).ok());
  accumulation->Values();
  EXPECT_FALSE(accumulation->finite());
  memory->Void();
  EXPECT_TRUE(memory->Save().empty());
}

}  // namespace
}  // namespace cddp

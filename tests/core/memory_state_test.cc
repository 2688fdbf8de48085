// Saving, loading and forgetting the memory.
#include <gtest/gtest.h>

#include <cmath>
#include <string>

#include "cddp/memory.h"
#include "tests/core/generators.h"

namespace cddp {
namespace {

using Values = std::vector<float>;

void Remember(Memory& memory, const std::string& parameter, const Values& gradient) {
  Accumulation* accumulation = nullptr;
  ASSERT_TRUE(memory.Accumulate(parameter, gradient, &accumulation).ok());
  accumulation->Values();
  memory.Commit();
}

TEST(MemoryState, SaveAndLoad) {
  const Values a = ValuesOf({Pattern::kRawFinite, 1, 100});
  const Values b = ValuesOf({Pattern::kDenormals, 2, 7});
  const auto memory = MakeResidualMemory();
  Remember(*memory, "a", a);
  Remember(*memory, "b", b);
  const MemoryState state = memory->Save();

  // Into a memory that knows no parameter yet, and over other values.
  const auto fresh = MakeResidualMemory();
  const auto used = MakeResidualMemory();
  Remember(*used, "b", Values(7, 1.0f));
  Remember(*used, "a", Values(100, 2.0f));
  for (Memory* loaded : {fresh.get(), used.get()}) {
    ASSERT_TRUE(loaded->Load(state).ok());
    const MemoryState again = loaded->Save();
    ASSERT_EQ(again.size(), 2u);
    EXPECT_TRUE(SameBits(again.at("a"), state.at("a")));
    EXPECT_TRUE(SameBits(again.at("b"), state.at("b")));

    const Values ones(7, 1.0f);
    Accumulation* accumulation = nullptr;
    ASSERT_TRUE(loaded->Accumulate("b", ones, &accumulation).ok());
    for (size_t i = 0; i < 7; ++i) EXPECT_EQ(accumulation->Values()[i], 1.0f + b[i]);
  }
}

// One parameter's residual can be taken out and added elsewhere.
TEST(MemoryState, ResidualsMove) {
  for (const char* name : {"residual", "dgc"}) {
    std::unique_ptr<Memory> from, to;
    ASSERT_TRUE(MakeMemory({.name = name}, &from).ok());
    ASSERT_TRUE(MakeMemory({.name = name}, &to).ok());
    Remember(*from, "a", {1.0f, -2.0f});
    Remember(*from, "b", {4.0f});
    Remember(*to, "a", {0.5f, 8.0f});
    const std::string residual = std::string("a") + (to->name() == "dgc" ? "/residual" : "");
    EXPECT_TRUE(from->TakeResidual("c").empty());
    EXPECT_TRUE(to->Add("a", from->TakeResidual("a")).ok());
    EXPECT_EQ(to->Save().at(residual), (Values{1.5f, 6.0f}));
    EXPECT_TRUE(to->Add("b", from->TakeResidual("b")).ok()) << "a parameter that was not known";
    EXPECT_EQ(to->Add("a", Values{1.0f}).code(), StatusCode::kInvalidArgument);
    for (const auto& [key, values] : from->Save()) {
      const bool velocity = key.ends_with("/velocity");
      EXPECT_EQ(values.front() != 0, velocity) << key << ": what is taken does not stay";
    }
  }
  EXPECT_TRUE(MakeNoMemory()->Add("a", Values{1.0f}).ok());
  EXPECT_TRUE(MakeNoMemory()->TakeResidual("a").empty());
}

TEST(MemoryState, LoadDropsAnUnfinishedStep) {
  const auto memory = MakeResidualMemory();
  Remember(*memory, "p", {1.0f});
  const Values gradient = {10.0f};
  Accumulation* accumulation = nullptr;
  ASSERT_TRUE(memory->Accumulate("p", gradient, &accumulation).ok());
  ASSERT_TRUE(memory->Load({{"p", {5.0f}}}).ok());
  memory->Commit();
  EXPECT_EQ(memory->Save().at("p"), Values{5.0f});
}

TEST(MemoryState, LoadRefusesOtherModel) {
  const auto memory = MakeResidualMemory();
  Remember(*memory, "kept", {1.0f});
  Remember(*memory, "grown", {1.0f, 2.0f});
  Remember(*memory, "missing.one", {3.0f});
  Remember(*memory, "missing.two", {4.0f});
  const MemoryState before = memory->Save();

  const Status status =
      memory->Load({{"kept", {9.0f}}, {"grown", {1.0f, 2.0f, 3.0f}}, {"new", {1.0f}}});
  EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
  for (const char* part : {"grown: 2 elements expected, 3 saved", "missing.one: missing",
                           "missing.two: missing", "new: saved, but not a part"}) {
    EXPECT_NE(status.message().find(part), std::string::npos) << part << "\n" << status.message();
  }
  EXPECT_EQ(status.message().find("kept"), std::string::npos) << status.message();
  EXPECT_EQ(memory->Save(), before);
}

TEST(MemoryState, EmptyStateIsAnotherModel) {
  const auto memory = MakeResidualMemory();
  EXPECT_TRUE(memory->Load({}).ok());
  Remember(*memory, "p", {1.0f});
  EXPECT_EQ(memory->Load({}).code(), StatusCode::kInvalidArgument);
}

TEST(MemoryState, DgcSavesResidualAndVelocity) {
  const auto memory = MakeDgcMemory({.momentum = 0.5});
  Remember(*memory, "p", {1.0f, 2.0f});
  Remember(*memory, "p", {1.0f, 2.0f});
  const MemoryState state = memory->Save();
  EXPECT_EQ(state, (MemoryState{{"p/residual", {2.5f, 5.0f}}, {"p/velocity", {1.5f, 3.0f}}}));
  const auto loaded = MakeDgcMemory({.momentum = 0.5});
  ASSERT_TRUE(loaded->Load(state).ok());
  EXPECT_EQ(loaded->Save(), state);
  Remember(*memory, "p", {0.0f, 0.0f});
  Remember(*loaded, "p", {0.0f, 0.0f});
  EXPECT_EQ(loaded->Save(), memory->Save());
}

TEST(MemoryState, LoadRefusesAnotherMemorysState) {
  const auto residual = MakeResidualMemory();
  Remember(*residual, "p", {1.0f});
  const auto dgc = MakeDgcMemory({});
  Remember(*dgc, "p", {1.0f});
  for (const MemoryState& state :
       {residual->Save(), MemoryState{{"p/residual", {1.0f}}},
        MemoryState{{"p/residual", {1.0f}}, {"p/velocity", {1.0f, 2.0f}}}}) {
    const Status status = dgc->Load(state);
    EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
    EXPECT_NE(status.message().find("p/velocity"), std::string::npos) << status.message();
    EXPECT_EQ(MakeDgcMemory({})->Load(state).code(), StatusCode::kInvalidArgument);
  }
  EXPECT_EQ(residual->Load(dgc->Save()).code(), StatusCode::kInvalidArgument);
}

// Every later step would be void.
TEST(MemoryState, LoadRefusesNonFinite) {
  const Status status = MakeResidualMemory()->Load({{"p", {1.0f, std::nanf("")}}});
  EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
  EXPECT_NE(status.message().find("p: holds NaN or Inf"), std::string::npos) << status.message();
}

TEST(MemoryState, KeysNameAParameterAndAPart) {
  for (const std::string& memory : MemoryNames()) {
    const std::span<const std::string_view> parts = MemoryParts(memory);
    for (size_t part = 0; part < parts.size(); ++part) {
      const std::optional<MemoryKey> key =
          ParseMemoryKey(memory, "layer/1.weight" + std::string(parts[part]));
      ASSERT_TRUE(key);
      EXPECT_EQ(key->parameter, "layer/1.weight");
      EXPECT_EQ(key->part, part);
    }
  }
  EXPECT_FALSE(ParseMemoryKey("dgc", "layer/1.weight"));
  EXPECT_FALSE(ParseMemoryKey("none", "layer/1.weight"));
}

TEST(MemoryState, NoneRefusesAState) {
  const auto memory = MakeNoMemory();
  EXPECT_TRUE(memory->Load({}).ok());
  const Status status = memory->Load({{"p", {1.0f}}});
  EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
  EXPECT_NE(status.message().find("none"), std::string::npos);
  EXPECT_TRUE(memory->Save().empty());
}

TEST(MemoryState, Factory) {
  std::unique_ptr<Memory> memory;
  for (const std::string& name : MemoryNames()) {
    ASSERT_TRUE(MakeMemory({.name = name}, &memory).ok());
    EXPECT_EQ(memory->name(), name);
  }
  for (double bad : {-0.1, 1.0, std::nan("")}) {
    EXPECT_EQ(MakeMemory({.name = "dgc", .momentum = bad}, &memory).code(),
              StatusCode::kInvalidArgument);
  }
  EXPECT_EQ(MakeMemory({.name = "dgc", .clip_norm = -1.0}, &memory).code(),
            StatusCode::kInvalidArgument);
  const Status status = MakeMemory({.name = "momentum"}, &memory);
  EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
  for (const char* part : {"\"momentum\"", "none", "residual", "dgc"}) {
    EXPECT_NE(status.message().find(part), std::string::npos) << status.message();
  }
}

}  // namespace
}  // namespace cddp

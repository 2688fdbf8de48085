// What the files of a checkpoint hold: how far training has come, and each rank's state.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <string>
#include <vector>

#include "cddp/status.h"
#include "trainer/checkpoint_folder.h"
#include "trainer/data/temporary_folder.h"
#include "trainer/rank_state.h"
#include "trainer/safetensors.h"
#include "trainer/shared_state.h"
#include "trainer/training_progress.h"

namespace cddp {
namespace {

TEST(Progress, ComesBackAsItWas) {
  TrainingProgress progress{
      .epoch = 3,
      .samples = 640,
      .void_steps = 2,
      .best = 98.5,
      .step = {.scaler = {.scale = 1024, .committed = 7}, .void_in_a_row = 2}};
  progress.history.push_back({.epoch = 1, .train_loss = NAN, .test_loss = 0.1, .void_steps = 1});
  progress.history.push_back({.epoch = 2, .epoch_s = 1.0 / 3, .tx_bytes_per_step = 5});
  const nlohmann::json json = nlohmann::json::parse(ToJson(progress).dump());
  const TrainingProgress read = ProgressFromJson(json);
  // As text: what is not a number equals nothing.
  EXPECT_EQ(ToJson(read).dump(), ToJson(progress).dump());
  EXPECT_TRUE(std::isnan(read.history[0].train_loss));
  EXPECT_EQ(read.history[1].epoch_s, 1.0 / 3);
  const EpochSums sums{
      .tally = {.loss = 0.1, .correct = 2, .samples = 3}, .sent = 4, .received = 5, .seconds = 0.6};
  EXPECT_EQ(ToJson(EpochSumsFromJson(ToJson(sums))), ToJson(sums));
  for (const char* key : {"epoch", "samples", "history", "best"}) {
    nlohmann::json damaged = json;
    damaged[key] = "x";
    EXPECT_THROW(ProgressFromJson(damaged), StatusError) << key;
    damaged.erase(key);
    EXPECT_THROW(ProgressFromJson(damaged), StatusError) << key;
  }
}

TEST(Progress, FewerBitsAreBetterAsIsMoreAccuracy) {
  const EpochRecord images{.test_accuracy_percent = 90};
  EXPECT_GT(MeritOf({.test_accuracy_percent = 91}), MeritOf(images));
  // Of a text accuracy does not count.
  const EpochRecord text{.test_accuracy_percent = 50, .test_bits_per_byte = 2.0};
  EXPECT_GT(MeritOf({.test_accuracy_percent = 49, .test_bits_per_byte = 1.9}), MeritOf(text));
}

struct Kept {
  size_t elements = 0;
  double magnitudes = 0;
};

Kept KeptIn(const MemoryState& state) {
  Kept kept;
  for (const auto& [name, values] : state) {
    kept.elements += values.size();
    for (const float value : values) kept.magnitudes += std::abs(double{value});
  }
  return kept;
}

// That of program/golden_checkpoint_test.cc. Reliability scorecard, row 21.
TEST(GoldenContents, OfVersion1AreWhole) {
  const auto golden = std::filesystem::path(CDDP_SOURCE) / "tests" / "golden" / "checkpoint-1";
  VerifyCheckpoint(golden);
  const SharedState shared = ReadSharedState(golden);
  EXPECT_EQ(shared.step, 34u);
  EXPECT_EQ(shared.world_size, 2);
  EXPECT_EQ(ProgressFromJson(shared.loop).history.size(), 1u);
  constexpr double kMemory[] = {435.42932793367584, 424.29685748793304};
  constexpr double kOwner[] = {0.6885730081085057, 97.26975750730344};
  constexpr size_t kOwned[] = {96, 2904};
  for (const int rank : {0, 1}) {
    const RankState state = ReadRankState(golden / fmt::format("rank-0000{}.safetensors", rank));
    EXPECT_EQ(state.compressor.memory_name, "dgc");
    EXPECT_EQ(KeptIn(state.compressor.memory).elements, 6000u);
    EXPECT_NEAR(KeptIn(state.compressor.memory).magnitudes, kMemory[rank], 1e-9);
    EXPECT_EQ(KeptIn(state.owner).elements, kOwned[rank]);
    EXPECT_NEAR(KeptIn(state.owner).magnitudes, kOwner[rank], 1e-9);
  }
}

class RankStates : public testing::Test {
 protected:
  const TemporaryFolder folder_;
  const std::filesystem::path path_ = folder_.path() / "rank";
};

TEST_F(RankStates, ComeBackToTheBit) {
  RankState state{
      .compressor = {.ratio = 0.1 / 3,
                     .budgets = {{"p", {.elements = 10, .energy = 1e-17 / 3, .entries = 4}}},
                     .selector = {{"p", 12}},
                     .memory = {{"p", {0.1f, -0.0f, 1e-42f}}, {"q", {}}}},
      .owner = {{"p", {7}}},
      .generator = {1, 2, 255},
      .rest = {{"loss", 0.1}}};
  WriteRankState(path_, state);
  const RankState read = ReadRankState(path_);
  EXPECT_EQ(read.compressor.ratio, state.compressor.ratio);
  EXPECT_EQ(read.compressor.budgets.at("p").energy, 1e-17 / 3);
  EXPECT_EQ(read.compressor.budgets.at("p").elements, 10u);
  EXPECT_EQ(read.compressor.budgets.at("p").entries, 4u);
  EXPECT_EQ(read.compressor.selector, state.compressor.selector);
  EXPECT_EQ(read.compressor.memory, state.compressor.memory);
  EXPECT_TRUE(std::signbit(read.compressor.memory.at("p")[1]));
  EXPECT_EQ(read.owner, state.owner);
  EXPECT_EQ(read.generator, state.generator);
  EXPECT_EQ(read.rest, state.rest);
}

TEST_F(RankStates, OtherFilesAreRefused) {
  const auto refused = [&](const TensorViews& tensors, const TensorMetadata& metadata) {
    WriteSafetensors(path_, tensors, metadata);
    try {
      ReadRankState(path_);
      ADD_FAILURE();
      return std::string();
    } catch (const StatusError& error) {
      EXPECT_EQ(error.code(), StatusCode::kCorrupt);
      return std::string(error.what());
    }
  };
  const std::vector<float> values{1.5f, 2.5f};
  EXPECT_NE(refused({{"weight", ViewOf(values)}}, {}).find("\"weight\" is no part"),
            std::string::npos);
  refused({}, {});
  refused({}, {{"state", "{"}});
  refused({}, {{"state", R"({"compressor":{"ratio":"a"},"rest":{}})"}});
}

}  // namespace
}  // namespace cddp

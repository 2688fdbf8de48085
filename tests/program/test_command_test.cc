// cddp test, and what cddp train leaves for it and for pictures.
#include <algorithm>
#include <fstream>

#include "tests/program/documented.h"
#include "tests/program/program.h"
#include "tests/trainer/read_metrics.h"

namespace cddp {
namespace {

namespace fs = std::filesystem;

class TestCommandTest : public ProgramTest {
 protected:
  // Two compressed epochs of 640 images; returns the run folder.
  fs::path TrainSome(const std::vector<std::string>& more = {}) {
    std::vector<std::string> arguments =
        Train({"--workers", "2", "--compress", "--collective", "gather", "--epochs", "2",
               "--max-train-samples", "640", "--json", "train.json"});
    arguments.insert(arguments.end(), more.begin(), more.end());
    Child child = Start(arguments);
    EXPECT_EQ(child.Wait(), 0) << child.err();
    return Runs().at(0);
  }

  Child Test(const fs::path& checkpoint, const std::vector<std::string>& more) {
    std::vector<std::string> arguments{"test",         "--data-dir", CDDP_DATA,
                                       "--checkpoint", checkpoint,   "--max-test-samples",
                                       "1000",         "--threads",  "1"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return Start(arguments);
  }
};

TEST_F(TestCommandTest, ReportPicturesAndTheSameWithTwoWorkers) {
  const fs::path run = TrainSome();
  Child one = Test(run / "checkpoints", {"--json", "one.json"});
  ASSERT_EQ(one.Wait(), 0) << one.err();
  EXPECT_NE(one.out().find("macro average"), std::string::npos) << one.out();
  nlohmann::json result = Json("one.json");
  ExpectDocumented(result);
  // What training found after its last epoch.
  EXPECT_DOUBLE_EQ(result["accuracy_percent"], Json("train.json")["test_accuracy_percent"]);
  EXPECT_NEAR(result["loss"], Json("train.json")["test_loss"], 1e-5);
  EXPECT_EQ(result["samples"], 1000);
  EXPECT_EQ(result["worst"].size(), 25u);
  for (const char* name : {"test.json", "worst.png", "worst.gp", "worst.dat"}) {
    EXPECT_TRUE(fs::exists(run / name)) << name;
  }
  Child two =
      Test(run / "checkpoints" / "last", {"--json", "two.json", "--workers", "2", "--no-plots"});
  ASSERT_EQ(two.Wait(), 0) << two.err();
  nlohmann::json again = Json("two.json");
  EXPECT_EQ(again["world_size"], 2);
  for (nlohmann::json* report : {&result, &again}) {
    for (const char* key : {"checkpoint", "world_size", "seconds", "forward_s", "images_per_s"}) {
      report->erase(key);
    }
  }
  EXPECT_EQ(result, again);
}

TEST_F(TestCommandTest, WhatIsNoCheckpointOrWasChangedIsRefused) {
  const fs::path run = TrainSome({"--epochs", "1"});
  Child none = Test("nowhere", {});
  EXPECT_EQ(none.Wait(), 2);
  EXPECT_NE(none.err().find("nowhere is no checkpoint"), std::string::npos) << none.err();
  Child loud = Test(run / "checkpoints", {"--log-level", "loud"});
  EXPECT_EQ(loud.Wait(), 2);
  EXPECT_NE(loud.err().find("log level"), std::string::npos) << loud.err();

  const fs::path checkpoint = fs::canonical(run / "checkpoints" / "last");
  nlohmann::json state = nlohmann::json::parse(ReadText(checkpoint / "state.json"));
  state["configuration"]["--model"] = "resnet8";
  std::ofstream(checkpoint / "state.json") << state.dump();
  Child damaged = Test(checkpoint, {});
  EXPECT_EQ(damaged.Wait(), 5);
  EXPECT_NE(damaged.err().find("state.json"), std::string::npos) << damaged.err();
}

TEST_F(TestCommandTest, AModelThatHasDivergedIsRefused) {
  Child diverged =
      Start(Train({"--epochs", "1", "--max-train-samples", "640", "--lr", "1e6", "--quiet"}));
  EXPECT_EQ(diverged.Wait(), 4) << diverged.err();
  const fs::path run = Runs().at(0);
  Child child = Test(run / "checkpoints", {"--workers", "2"});
  EXPECT_EQ(child.Wait(), 4) << child.err();
  EXPECT_NE(child.err().find("outputs that are not finite"), std::string::npos) << child.err();
  EXPECT_FALSE(fs::exists(run / "test.json"));
}

TEST_F(TestCommandTest, WithoutGnuplotTheReportIsThereAndTheErrorSaysWhatToInstall) {
  const fs::path run = TrainSome({"--epochs", "1"});
  std::vector<std::string> arguments{"test",         "--data-dir",        CDDP_DATA,
                                     "--checkpoint", run / "checkpoints", "--max-test-samples",
                                     "100",          "--workers",         "2"};
  Child child = Start(arguments, {{"PATH", "/nowhere"}});
  EXPECT_EQ(child.Wait(), 2);
  EXPECT_NE(child.err().find("gnuplot"), std::string::npos) << child.err();
  EXPECT_EQ(child.err().find("was lost"), std::string::npos) << child.err();
  for (const char* name : {"test.json", "worst.gp", "worst.dat"}) {
    EXPECT_TRUE(fs::exists(run / name)) << name;
  }
  EXPECT_FALSE(fs::exists(run / "worst.png"));
}

TEST_F(TestCommandTest, LayersSayWhatIsSentAndKept) {
  const fs::path run = TrainSome();
  const auto layers = nlohmann::json::parse(ReadText(run / "layers.json"));
  EXPECT_EQ(layers["epoch"], 2);
  ASSERT_EQ(layers["layers"].size(), 8u);
  for (const nlohmann::json& layer : layers["layers"]) {
    const bool whole = layer["elements"] <= 1024;
    EXPECT_NEAR(layer["sent_fraction"], whole ? 1.0 : 0.01, 1e-3) << layer;
    // What is rounded away of those that go whole stays, too.
    EXPECT_GT(layer["residual_norm"], 0) << layer;
  }
}

TEST_F(TestCommandTest, EvaluatingWithinEpochsChangesNothingElse) {
  TrainSome();
  const nlohmann::json without = Json("train.json");
  EXPECT_EQ(without["evaluations"].size(), 2u);
  fs::remove_all(folder_.path() / "runs");
  const fs::path run = TrainSome({"--eval-every-steps", "2"});
  const nlohmann::json with = Json("train.json");
  EXPECT_EQ(with["parameters_xxh3"], without["parameters_xxh3"]);
  // Five steps an epoch: after 2, 4, the epoch, 6, 8 and the epoch.
  std::vector<int> steps;
  double before = 0;
  for (const nlohmann::json& evaluation : with["evaluations"]) {
    steps.push_back(evaluation["step"]);
    EXPECT_GT(evaluation["train_s"], before);
    before = evaluation["train_s"];
  }
  EXPECT_EQ(steps, (std::vector<int>{2, 4, 5, 6, 8, 10}));
  EXPECT_EQ(with["evaluations"][5]["test_accuracy_percent"], with["test_accuracy_percent"]);
  const auto records = ReadJsonLines(run / "metrics.jsonl");
  EXPECT_EQ(std::ranges::count_if(
                records, [](const auto& record) { return record["kind"] == "evaluation"; }),
            4);
}

TEST_F(TestCommandTest, JsonLinesOnStandardOutputAndQuiet) {
  Child child = Start(Train({"--epochs", "1", "--max-train-samples", "640", "--log-every", "5",
                             "--json-lines", "--quiet"}));
  ASSERT_EQ(child.Wait(), 0) << child.err();
  EXPECT_EQ(child.out(), ReadText(Runs().at(0) / "metrics.jsonl"));
  EXPECT_EQ(std::ranges::count(child.out(), '\n'), 3);
  EXPECT_EQ(child.err(), "");
  Child refused = Start(Train({"--json-lines", "--json", "-"}));
  EXPECT_EQ(refused.Wait(), 2);
  EXPECT_NE(refused.err().find("--json-lines"), std::string::npos) << refused.err();
}

}  // namespace
}  // namespace cddp

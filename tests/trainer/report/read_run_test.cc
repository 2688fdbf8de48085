#include "trainer/report/read_run.h"

#include <gtest/gtest.h>

#include <functional>

#include "cddp/status.h"
#include "tests/trainer/report/run_folders.h"

namespace cddp {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

class ReadRunTest : public testing::Test {
 protected:
  // What is said of a run that can't be shown, or not as a whole.
  std::string Refusal(const fs::path& folder, StatusCode code) {
    try {
      for (const Status& error : ReadRuns(folder).errors) {
        EXPECT_EQ(error.code(), code) << error.message();
        return error.message();
      }
    } catch (const StatusError& error) {
      EXPECT_EQ(error.code(), code) << error.what();
      return error.what();
    }
    ADD_FAILURE() << folder << " was read";
    return "";
  }
  static Json ReadRun(const fs::path& folder) {
    const FolderRuns read = ReadRuns(folder);
    EXPECT_TRUE(read.errors.empty());
    return read.runs.at(0);
  }
  static bool Holds(const std::string& text, const std::string& part) {
    return text.find(part) != std::string::npos;
  }
  RunFolders folders_;
};

TEST_F(ReadRunTest, HasWhatTheFolderHolds) {
  const fs::path folder = folders_.MakeRun("run");
  const auto runs = ReadRuns(folder / "").runs;
  ASSERT_EQ(runs.size(), 1u);
  const Json& run = runs[0];
  EXPECT_EQ(run["label"], "run");
  EXPECT_EQ(run["folder"], folder.string());
  EXPECT_EQ(run["config"]["world_size"], 2);
  EXPECT_EQ(run["summary"]["test_accuracy_percent"], 92);
  EXPECT_FALSE(run["summary"].contains("history"));
  EXPECT_EQ(run["epochs"]["test_loss"], Json({1, 0.5}));
  EXPECT_EQ(run["epochs"]["bytes"], Json({100'000, 200'000}));
  EXPECT_EQ(run["steps"]["epoch"], Json({0.5, 1.5}));
  for (const char* absent : {"layers", "test", "plan", "comparison"}) {
    EXPECT_EQ(run[absent], nullptr) << absent;
  }
}

TEST_F(ReadRunTest, HasLayersTestAndPlan) {
  const fs::path folder = folders_.MakeRun("run");
  folders_.WriteJson(folder / "layers.json", Json{{"epoch", 2},
                                                  {"layers",
                                                   {{{"name", "conv1.weight"},
                                                     {"elements", 288},
                                                     {"sent_fraction", 0.01},
                                                     {"residual_norm", 1.5}},
                                                    {{"name", "conv1.bias"},
                                                     {"elements", 32},
                                                     {"sent_fraction", nullptr},
                                                     {"residual_norm", 0}}}}});
  folders_.WriteJson(folder / "test.json", TestResult());
  folders_.WriteJson(
      folder / "plan.json",
      Json{{"version", 1},
           {"world_size", 2},
           {"first", "split"},
           {"bucket_elements", Json::array({10'000})},
           {"changes", Json::array({{{"step", 6}, {"ways", Json::array({"gather"})}}})}});
  const Json run = ReadRun(folder);
  EXPECT_EQ(run["layers"][1]["sent_fraction"], nullptr);
  EXPECT_EQ(run["test"]["confusion_matrix"], Json({{8, 2}, {1, 9}}));
  EXPECT_EQ(run["test"]["calibration"][0]["accuracy_fraction"], nullptr);
  EXPECT_EQ(run["plan"]["changes"][0]["ways"][0], "gather");
}

TEST_F(ReadRunTest, RunWithoutAnEndedEpochIsOne) {
  const fs::path folder = folders_.MakeRun("run");
  for (const char* file : {"history.json", "summary.json"}) fs::remove(folder / file);
  const Json run = ReadRun(folder);
  EXPECT_TRUE(run["epochs"]["epoch"].empty());
  EXPECT_TRUE(run["summary"].empty());
  EXPECT_EQ(run["steps"]["loss"], Json({1, 0.5}));
  // As cddp plot says it.
  folders_.Write(folder / "metrics.jsonl", "");
  const std::string why = Refusal(folder, StatusCode::kInvalidArgument);
  EXPECT_TRUE(Holds(why, "half-written: history.json is missing")) << why;
}

TEST_F(ReadRunTest, WhatItCanDoWithoutMayBeDamaged) {
  const fs::path folder = folders_.MakeRun("run");
  for (const char* file : {"metrics.jsonl", "layers.json", "test.json", "plan.json"}) {
    folders_.Write(folder / file, "{\n");
  }
  const FolderRuns read = ReadRuns(folder);
  ASSERT_EQ(read.runs.size(), 1u);
  EXPECT_EQ(read.runs[0]["epochs"]["test_loss"], Json({1, 0.5}));
  EXPECT_EQ(read.runs[0]["test"], nullptr);
  ASSERT_EQ(read.errors.size(), 4u);
  EXPECT_TRUE(Holds(read.errors[0].message(), "metrics.jsonl")) << read.errors[0].message();
}

TEST_F(ReadRunTest, OfATextThereAreNoClasses) {
  const fs::path folder = folders_.MakeRun("run");
  folders_.WriteJson(folder / "test.json", Json{{"samples", 5},
                                                {"accuracy_percent", 50},
                                                {"loss", 1.4},
                                                {"epoch", 1},
                                                {"test_bits_per_byte", 2.02}});
  EXPECT_EQ(ReadRun(folder)["test"]["test_bits_per_byte"], 2.02);
  EXPECT_FALSE(ReadRun(folder)["test"].contains("classes"));
}

TEST_F(ReadRunTest, WhatIsNoRunFolderIsRefused) {
  EXPECT_TRUE(Holds(Refusal(folders_.path() / "none", StatusCode::kUnavailable), "not there"));
  folders_.Write(folders_.path() / "file", "x");
  EXPECT_TRUE(Holds(Refusal(folders_.path() / "file", StatusCode::kUnavailable), "a file"));
  EXPECT_TRUE(Holds(Refusal(folders_.path(), StatusCode::kInvalidArgument),
                    "neither config.json nor comparison.json"));
}

TEST_F(ReadRunTest, CutFilesAreNamedWithThePlace) {
  for (const char* file : {"config.json", "summary.json", "history.json"}) {
    const fs::path path = folders_.MakeRun("run") / file;
    const std::string whole = TextOf(path);
    folders_.Write(path, whole.substr(0, whole.size() / 2));
    const std::string why = Refusal(folders_.path() / "run", StatusCode::kCorrupt);
    EXPECT_TRUE(Holds(why, path.string())) << why;
    EXPECT_TRUE(Holds(why, "line ")) << why;
  }
  folders_.Write(folders_.MakeRun("run") / "history.json", "");
  EXPECT_TRUE(Holds(Refusal(folders_.path() / "run", StatusCode::kCorrupt), "line 1, column 1"));
  folders_.Write(folders_.MakeRun("run") / "history.json", "[\n  1,\n  ?\n]\n");
  EXPECT_TRUE(Holds(Refusal(folders_.path() / "run", StatusCode::kCorrupt), "line 3, column 3"));
}

TEST_F(ReadRunTest, DamagedTestResultsAreRefused) {
  const fs::path file = folders_.MakeRun("run") / "test.json";
  const auto refusal = [&](const std::function<void(Json&)>& damage) {
    Json json = TestResult();
    damage(json);
    folders_.WriteJson(file, json);
    return Refusal(folders_.path() / "run", StatusCode::kCorrupt);
  };
  EXPECT_TRUE(Holds(refusal([](Json& json) { json["confusion_matrix"].erase(0); }), "got 1 rows"));
  EXPECT_TRUE(
      Holds(refusal([](Json& json) { json["confusion_matrix"][1].erase(0); }), "got a row of 1"));
  EXPECT_TRUE(Holds(refusal([](Json& json) { json["confusion_matrix"][1][0] = "x"; }), "string"));
  EXPECT_TRUE(Holds(refusal([](Json& json) { json["classes"][1].erase("name"); }),
                    "test.json, classes 2: name missing"));
  EXPECT_TRUE(Holds(refusal([](Json& json) { json.erase("worst"); }), "worst missing"));
  EXPECT_TRUE(Holds(refusal([](Json& json) { json["loss"] = "low"; }), "loss is to be a number"));
  EXPECT_TRUE(Holds(refusal([](Json& json) { json.erase("macro_average"); }), "macro_average"));
}

class ReadComparison : public ReadRunTest {
 protected:
  fs::path MakeComparison() {
    const auto row = [&](const char* label, const char* folder) {
      folders_.MakeRun(folder);
      return Json{{"label", label},
                  {"run_folder", "runs/" + std::string(folder)},  // as written elsewhere
                  {"speedup", 2},
                  {"efficiency_fraction", nullptr},
                  {"accuracy_difference_percent", -0.5},
                  {"tx_bytes_reduction", 100},
                  {"seconds_to_accuracy", 12},
                  {"summary", Json::parse(TextOf(folders_.path() / folder / "summary.json"))}};
    };
    const fs::path folder = folders_.path() / "compare";
    fs::create_directories(folder);
    folders_.WriteJson(folder / "comparison.json",
                       Json{{"target_accuracy_percent", 90},
                            {"runs", {row("dense", "one"), row("top 1%", "two")}}});
    return folder;
  }
};

TEST_F(ReadComparison, IsItsRuns) {
  const auto runs = ReadRuns(MakeComparison()).runs;
  ASSERT_EQ(runs.size(), 2u);
  EXPECT_EQ(runs[1]["label"], "top 1%");
  EXPECT_EQ(runs[1]["folder"], (folders_.path() / "two").string());
  EXPECT_EQ(runs[1]["config"]["dataset"], "mnist");
  EXPECT_EQ(runs[1]["comparison"]["tx_bytes_reduction"], 100);
  EXPECT_EQ(runs[1]["comparison"]["target_accuracy_percent"], 90);
}

TEST_F(ReadComparison, MakesDoWithTheSummaryOfARunThatIsGone) {
  const fs::path folder = MakeComparison();
  fs::remove_all(folders_.path() / "two");
  const auto runs = ReadRuns(folder).runs;
  ASSERT_EQ(runs.size(), 2u);
  EXPECT_TRUE(runs[1]["config"].empty());
  EXPECT_EQ(runs[1]["epochs"]["epoch"], Json({1, 2}));
  EXPECT_EQ(runs[1]["summary"]["model"], "simple_cnn");
}

TEST_F(ReadComparison, MakesDoWithTheSummaryOfARunThatIsDamagedAndSaysSo) {
  const fs::path folder = MakeComparison();
  folders_.Write(folders_.path() / "two" / "history.json", "[");
  const FolderRuns read = ReadRuns(folder);
  ASSERT_EQ(read.runs.size(), 2u);
  EXPECT_EQ(read.runs[1]["epochs"]["epoch"], Json({1, 2}));
  ASSERT_EQ(read.errors.size(), 1u);
  EXPECT_TRUE(Holds(read.errors[0].message(), "history.json"));
}

TEST_F(ReadComparison, DamagedOneIsRefused) {
  const fs::path folder = MakeComparison(), file = folder / "comparison.json";
  folders_.WriteJson(file, Json{{"target_accuracy_percent", nullptr}});
  EXPECT_TRUE(Holds(Refusal(folder, StatusCode::kCorrupt), "runs missing"));
  folders_.WriteJson(file, Json{{"runs", Json::array({{{"label", "x"}}})}});
  EXPECT_TRUE(Holds(Refusal(folder, StatusCode::kCorrupt), "run 1: run_folder missing"));
}

TEST_F(ReadComparison, FileOfAnEarlierVersionInARunFolderIsPassedOver) {
  const fs::path folder = folders_.MakeRun("run");
  folders_.WriteJson(folder / "comparison.json", Json{{"dense", 1}});
  EXPECT_EQ(ReadRun(folder)["label"], "run");
}

}  // namespace
}  // namespace cddp

#include "trainer/report/report_data.h"

#include <gtest/gtest.h>

#include <string>

namespace cddp {
namespace {

using Json = nlohmann::json;

Json OneRun(const std::string& label, const std::string& folder) {
  return {{"label", label},
          {"folder", folder},
          {"config", {{"dataset", "mnist"}, {"model", "simple_cnn"}, {"epochs", 2}}},
          {"summary",
           {{"test_accuracy_percent", 99}, {"epoch_s_mean", 10}, {"tx_bytes_per_step", 1000}}},
          {"epochs", {{"epoch", {1, 2}}}},
          {"comparison", nullptr}};
}

TEST(ReportData, OneRunStandsAlone) {
  const Json data = ReportData({OneRun("a", "runs/a")});
  EXPECT_EQ(data["title"], "a");
  EXPECT_TRUE(data["notices"].empty());
  EXPECT_EQ(data["runs"][0]["comparison"], nullptr);
}

TEST(ReportData, ComparesToTheFirstRun) {
  Json fast = OneRun("b", "runs/b");
  fast["summary"] = {
      {"test_accuracy_percent", 98.5}, {"epoch_s_mean", 4}, {"tx_bytes_per_step", 10}};
  const Json data = ReportData({OneRun("a", "runs/a"), fast});
  EXPECT_EQ(data["title"], "2 runs");
  const Json& compared = data["runs"][1]["comparison"];
  EXPECT_EQ(compared["reference"], "a");
  EXPECT_EQ(compared["speedup"], 2.5);
  EXPECT_EQ(compared["accuracy_difference_percent"], -0.5);
  EXPECT_EQ(compared["tx_bytes_reduction"], 100);
  EXPECT_EQ(data["runs"][0]["comparison"]["speedup"], 1);
}

TEST(ReportData, KeepsWhatAComparisonSays) {
  Json said = OneRun("b", "runs/b");
  said["comparison"] = {{"speedup", 7}};
  EXPECT_EQ(ReportData({OneRun("a", "runs/a"), said})["runs"][1]["comparison"],
            Json({{"speedup", 7}}));
}

TEST(ReportData, OneWorkerSendsNothingToCompare) {
  Json alone = OneRun("a", "runs/a");
  alone["summary"]["tx_bytes_per_step"] = 0;
  const Json data = ReportData({alone, OneRun("b", "runs/b")});
  EXPECT_EQ(data["runs"][1]["comparison"]["tx_bytes_reduction"], nullptr);
}

TEST(ReportData, DifferentDataSetsAreNotCompared) {
  Json other = OneRun("b", "runs/b");
  other["config"]["dataset"] = "cifar10";
  const Json data = ReportData({OneRun("a", "runs/a"), other});
  ASSERT_EQ(data["notices"].size(), 1u);
  EXPECT_NE(data["notices"][0].get<std::string>().find("(cifar10, mnist)"), std::string::npos);
  EXPECT_EQ(data["runs"][1]["comparison"], nullptr);
  // A third finds the one that it can be compared to.
  Json third = other;
  third["label"] = "c";
  EXPECT_EQ(ReportData({OneRun("a", "runs/a"), other, third})["runs"][2]["comparison"]["reference"],
            "b");
}

TEST(ReportData, DifferentModelsAreSaid) {
  Json other = OneRun("b", "runs/b");
  other["config"]["model"] = "resnet8";
  const Json data = ReportData({OneRun("a", "runs/a"), other});
  ASSERT_EQ(data["notices"].size(), 1u);
  EXPECT_NE(data["notices"][0].get<std::string>().find("resnet8, simple_cnn"), std::string::npos);
}

TEST(ReportData, RunThatDidNotEndIsSaid) {
  Json cut = OneRun("a", "runs/a");
  cut["config"]["epochs"] = 15;
  EXPECT_EQ(ReportData({cut})["notices"], Json::array({"a has done 2 of 15 epochs."}));
}

TEST(ReportData, SummaryStandsInForAConfigurationThatIsGone) {
  Json gone = OneRun("b", "runs/b");
  gone["summary"].update(gone["config"]);
  gone["config"] = Json::object();
  EXPECT_EQ(ReportData({OneRun("a", "runs/a"), gone})["runs"][1]["comparison"]["reference"], "a");
}

TEST(ReportData, EveryLabelIsThereOnce) {
  const Json runs =
      ReportData({OneRun("dense", "x/one"), OneRun("dense", "x/two"), OneRun("top", "x/three"),
                  OneRun("run", "x/run"), OneRun("run", "y/run")})["runs"];
  EXPECT_EQ(runs[0]["label"], "dense · one");
  EXPECT_EQ(runs[1]["label"], "dense · two");
  EXPECT_EQ(runs[2]["label"], "top");
  EXPECT_EQ(runs[3]["label"], "x/run");
  EXPECT_EQ(runs[4]["label"], "y/run");
  const Json same = ReportData({OneRun("dense", "x/one"), OneRun("dense", "y/one")})["runs"];
  EXPECT_NE(same[0]["label"], same[1]["label"]);
}

}  // namespace
}  // namespace cddp

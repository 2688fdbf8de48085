#include "trainer/comparison.h"

#include <gtest/gtest.h>

namespace cddp {
namespace {

ComparedRun Run(const std::string& label, int workers, double epoch_s, double bytes) {
  ComparedRun run{.label = label, .folder = "runs/" + label, .summary = {}};
  run.summary.compress = label.starts_with("top");
  run.summary.world_size = workers;
  run.summary.epoch_s_mean = epoch_s;
  run.summary.images_per_s = 1000 / epoch_s;
  run.summary.tx_bytes_per_step = bytes;
  run.summary.test_accuracy_percent = run.summary.compress ? 98.5 : 99;
  run.summary.evaluations = {{.step = 5, .train_s = epoch_s / 2, .test_accuracy_percent = 97},
                             {.step = 10, .train_s = epoch_s, .test_accuracy_percent = 98.5}};
  return run;
}

Comparison Four() {
  return {.runs = {Run("baseline", 1, 10, 0), Run("dense", 4, 8, 1000), Run("top 1%", 4, 4, 10),
                   Run("top 0.1%", 4, 2, 2)},
          .target_accuracy_percent = 97.5};
}

TEST(ComparisonTables, RelationsToBaselineAndDense) {
  const nlohmann::json runs = ToJson(Four())["runs"];
  EXPECT_DOUBLE_EQ(runs[0]["speedup"], 1);
  EXPECT_DOUBLE_EQ(runs[0]["efficiency_fraction"], 1);
  EXPECT_TRUE(runs[0]["tx_bytes_reduction"].is_null()) << "one worker sends nothing";
  EXPECT_TRUE(runs[1]["tx_bytes_reduction"].is_null()) << "dense is what others compare with";
  EXPECT_DOUBLE_EQ(runs[2]["speedup"], 2.5);
  EXPECT_DOUBLE_EQ(runs[2]["efficiency_fraction"], 250.0 / (4 * 100));
  EXPECT_DOUBLE_EQ(runs[2]["tx_bytes_reduction"], 100);
  EXPECT_DOUBLE_EQ(runs[3]["tx_bytes_reduction"], 500);
  EXPECT_DOUBLE_EQ(runs[3]["accuracy_difference_percent"], -0.5);
}

TEST(ComparisonTables, TheTargetIsReachedAtTheFirstEvaluationThatFindsIt) {
  Comparison comparison = Four();
  EXPECT_DOUBLE_EQ(ToJson(comparison)["runs"][2]["seconds_to_accuracy"], 4);
  comparison.target_accuracy_percent = 97;
  EXPECT_DOUBLE_EQ(ToJson(comparison)["runs"][2]["seconds_to_accuracy"], 2);
  comparison.target_accuracy_percent = 99.9;
  EXPECT_TRUE(ToJson(comparison)["runs"][2]["seconds_to_accuracy"].is_null());
  EXPECT_NE(AlignedTable(TableOf(comparison)).find("not reached"), std::string::npos);
}

TEST(ComparisonTables, WithoutABaselineThereIsNoEfficiency) {
  Comparison comparison = Four();
  comparison.runs.erase(comparison.runs.begin());
  const nlohmann::json report = ToJson(comparison);
  EXPECT_TRUE(report["runs"][1]["efficiency_fraction"].is_null());
  EXPECT_DOUBLE_EQ(report["epoch_speedup"], 2);
  EXPECT_DOUBLE_EQ(report["tx_bytes_reduction"], 100);
  EXPECT_EQ(report["compressed"]["tx_bytes_per_step"], 10);
  EXPECT_EQ(AlignedTable(TableOf(comparison)).find("efficiency"), std::string::npos);
}

TEST(ComparisonTables, OfTextsBitsPerByteAndWindows) {
  Comparison comparison = Four();
  for (ComparedRun& run : comparison.runs) run.summary.test_bits_per_byte = 2.125;
  EXPECT_TRUE(ToJson(comparison)["runs"][2]["accuracy_difference_percent"].is_null());
  const std::string text = AlignedTable(TableOf(comparison));
  for (const char* line : {"\nbits per byte ", "\nwindows/s "}) {
    EXPECT_NE(text.find(line), std::string::npos) << text;
  }
  for (const char* not_there : {"points", "\ntest accuracy", "images"}) {
    EXPECT_EQ(text.find(not_there), std::string::npos) << text;
  }
}

TEST(ComparisonTables, OfTheRunsThatAreDone) {
  Comparison comparison = Four();
  comparison.runs.resize(1);
  EXPECT_EQ(ToJson(comparison)["runs"].size(), 1u);
  EXPECT_EQ(TableOf(comparison)[0], (std::vector<std::string>{"", "baseline"}));
}

TEST(ComparisonTables, TextMarkdownAndCsvHaveEveryRun) {
  const auto table = TableOf(Four());
  for (const auto& row : table) EXPECT_EQ(row.size(), 5u) << row[0];
  const std::string text = AlignedTable(table);
  EXPECT_NE(text.find("times fewer than dense"), std::string::npos) << text;
  EXPECT_NE(MarkdownTable(table).find("|  | baseline | dense | top 1% | top 0.1% |\n|---|---:|"),
            std::string::npos)
      << MarkdownTable(table);
  const std::string csv = CsvOf(Four());
  EXPECT_EQ(std::count(csv.begin(), csv.end(), '\n'), 5);
  EXPECT_NE(csv.find("\ntop 1%,2.5,0.625,-0.5,100.0,4.0,"), std::string::npos) << csv;
}

}  // namespace
}  // namespace cddp

#include "trainer/plots/comparison_plot.h"

#include "tests/trainer/plots/plot_folder.h"

namespace cddp {
namespace {

class ComparisonPlotTest : public PlotFolderTest {
 protected:
  // A baseline that sends nothing, then runs that each send a tenth of the one before.
  static Comparison Some(int runs, int epochs) {
    Comparison comparison;
    for (int i = 0; i < runs; ++i) {
      ComparedRun run{.label = i == 0 ? "baseline" : "top " + std::to_string(i) + "%",
                      .folder = "runs/" + std::to_string(i),
                      .summary = SomeSummary(epochs)};
      double bytes = i == 0 ? 0 : 1e7;
      for (int j = 1; j < i; ++j) bytes /= 10;
      for (EpochRecord& record : run.summary.history) record.tx_bytes_per_step = bytes;
      comparison.runs.push_back(run);
    }
    return comparison;
  }
  void Draw(const Comparison& comparison) {
    Write("comparison.json", ToJson(comparison));
    EXPECT_EQ(WriteComparisonPlot(folder()), folder() / "comparison.png");
  }
  bool Script(const std::string& fragment) const {
    return Read("comparison.gp").find(fragment) != std::string::npos;
  }
};

TEST_F(ComparisonPlotTest, TwoRunsAndSixOneEpochAndMany) {
  for (const auto& [runs, epochs] : {std::pair(1, 1), {2, 1}, {2, 2}, {6, 100}, {12, 3}}) {
    Draw(Some(runs, epochs));
    EXPECT_EQ(PngSize("comparison.png").first, 1650);
    EXPECT_GE(PngSize("comparison.png").second, 1200);
  }
}

TEST_F(ComparisonPlotTest, TheDataAreCumulative) {
  Draw(Some(3, 4));
  const std::string data = Read("comparison.dat");
  // 100 steps of 10 MB an epoch of 30 s.
  EXPECT_EQ(LineAfter(data, "# 'baseline'", 3), "2 60 0 95");
  EXPECT_EQ(LineAfter(data, "# 'top 1%'", 1), "epoch seconds bytes quality");
  EXPECT_EQ(LineAfter(data, "# 'top 1%'", 2), "1 30 1000000000 91");
  EXPECT_EQ(LineAfter(data, "# 'top 1%'", 5), "4 120 4000000000 97");
  EXPECT_EQ(LineAfter(data, "# 'top 2%'", 5), "4 120 400000000 97");
  EXPECT_EQ(LineAfter(data, "run computation_ms", 2), "1 25.5 4");
}

TEST_F(ComparisonPlotTest, AxesFitTheRuns) {
  Draw(Some(3, 4));
  EXPECT_TRUE(Script("unset logscale x\nset xrange [0:126]")) << "equally long runs";
  EXPECT_TRUE(Script("set logscale x\nset xrange [")) << "ten times as many bytes";
  EXPECT_TRUE(Script("'100 MB' 100000000"));
  EXPECT_FALSE(Script("'200 MB'")) << "labels would touch";
  EXPECT_FALSE(Script("index 0 using 'bytes'")) << "the baseline sends nothing";
  EXPECT_TRUE(Script("index 1 using 'bytes'"));
  Draw(Some(1, 2));  // nobody sends
  EXPECT_FALSE(Script("using 'bytes'"));
  // The axis before, of times far apart, was logarithmic; gnuplot refuses zero on one.
  Comparison apart = Some(2, 2);
  for (EpochRecord& record : apart.runs[1].summary.history) {
    record.tx_bytes_per_step = 0;
    record.epoch_s = 3000;
  }
  Draw(apart);
  EXPECT_TRUE(Script("unset logscale x\nset xrange [0:1]"));
}

TEST_F(ComparisonPlotTest, EvaluationsWithinEpochsAreDrawn) {
  Comparison comparison = Some(2, 2);
  Draw(comparison);
  EXPECT_TRUE(Script("set xrange [0.5:2.5]"));
  for (uint64_t step : {25u, 50u, 75u, 100u}) {
    comparison.runs[1].summary.evaluations.push_back(
        {.step = step, .train_s = 0.3 * static_cast<double>(step), .test_accuracy_percent = 80});
  }
  Draw(comparison);
  const std::string data = Read("comparison.dat");
  EXPECT_EQ(LineAfter(data, "# 'top 1%'", 2), "0.25 7.5 250000000 80");
  EXPECT_EQ(LineAfter(data, "# 'top 1%'", 5), "1 30 1000000000 91");
  EXPECT_TRUE(Script("set xrange [0:2.5]"));
}

TEST_F(ComparisonPlotTest, ItIsSaidWhoSendsNothing) {
  Comparison comparison = Some(2, 2);
  comparison.runs[0].summary.world_size = 1;
  Draw(comparison);
  EXPECT_TRUE(Script("'baseline: sends nothing (one worker)'"));
  for (EpochRecord& record : comparison.runs[1].summary.history) record.tx_bytes_per_step = 0;
  Draw(comparison);
  EXPECT_TRUE(Script("'2 runs send nothing'"));
  comparison.runs.erase(comparison.runs.begin(), comparison.runs.end());
  comparison.runs.push_back(Some(2, 2).runs[1]);
  Draw(comparison);
  EXPECT_FALSE(Script("nothing"));
}

TEST_F(ComparisonPlotTest, ATargetIsDrawn) {
  Comparison comparison = Some(2, 3);
  Draw(comparison);
  EXPECT_FALSE(Script("target"));
  comparison.target_accuracy_percent = 97.5;
  Draw(comparison);
  EXPECT_TRUE(Script("title 'target, 97.5%'"));
}

TEST_F(ComparisonPlotTest, OfTextsBitsPerByte) {
  Comparison comparison = Some(2, 3);
  for (ComparedRun& run : comparison.runs) {
    for (EpochRecord& record : run.summary.history) record.test_bits_per_byte = 4.5 / record.epoch;
  }
  Draw(comparison);
  EXPECT_EQ(LineAfter(Read("comparison.dat"), "# 'top 1%'", 4), "3 90 3000000000 1.5");
  EXPECT_TRUE(Script("bits per byte"));
  EXPECT_FALSE(Script("accuracy"));
  comparison.target_accuracy_percent = 97.5;  // is no number of bits
  Draw(comparison);
  EXPECT_FALSE(Script("97.5"));
}

TEST_F(ComparisonPlotTest, OfDifferentDataSetsTheStepsAlone) {
  Comparison comparison = Some(2, 3);
  comparison.runs[1].summary.dataset = "cifar10";
  Draw(comparison);
  EXPECT_TRUE(Script("cifar10, mnist: accuracies of different data sets cannot be compared"));
  EXPECT_TRUE(Script("'computation_ms'"));
  EXPECT_FALSE(Script("'quality'"));
}

TEST_F(ComparisonPlotTest, LabelsAreTextAndKeptShort) {
  Comparison comparison = Some(2, 2);
  comparison.runs[1].label = "it's\n`a` " + std::string(100, 'x');
  Draw(comparison);
  EXPECT_TRUE(Script("'it''s `a` " + std::string(22, 'x') + "…'")) << Read("comparison.gp");
  EXPECT_FALSE(Script(std::string(40, 'x')));
}

TEST_F(ComparisonPlotTest, HostileFilesAreRefused) {
  const auto refusal = [&](const nlohmann::json& json, const std::vector<std::string>& fragments) {
    Write("comparison.json", json);
    ExpectRefusal([&] { WriteComparisonPlot(folder()); }, StatusCode::kCorrupt, fragments);
    EXPECT_FALSE(Has("comparison.dat"));
  };
  ExpectRefusal([&] { WriteComparisonPlot(folder()); }, StatusCode::kUnavailable,
                {"comparison.json", "No such file"});
  const nlohmann::json whole = ToJson(Some(2, 2));
  // As an earlier version wrote it.
  refusal({{"dense", 1}, {"compressed", 2}}, {"comparison.json", "runs", "version"});
  nlohmann::json json = whole;
  json["runs"] = nlohmann::json::array();
  refusal(json, {"comparison.json", "no runs"});
  json = whole;
  json["runs"][1].erase("label");
  refusal(json, {"comparison.json", "run 2", "label"});
  json = whole;
  json["runs"][1]["summary"]["history"][1]["epoch_s"] = "long";
  refusal(json, {"comparison.json", "run 2", "history", "epoch 2", "epoch_s"});
  json = whole;
  json["runs"][0]["summary"]["evaluations"] = {{{"step", 5}, {"train_s", -1}}};
  refusal(json, {"comparison.json", "run 1", "evaluation 1", "train_s", "-1"});
  json = whole;
  json["target_accuracy_percent"] = "high";
  refusal(json, {"comparison.json", "target_accuracy_percent", "string"});
}

}  // namespace
}  // namespace cddp

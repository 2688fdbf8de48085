#include "trainer/plots/training_plot.h"

#include <limits>

#include "tests/trainer/plots/plot_folder.h"
#include "trainer/data/file_bytes.h"

namespace cddp {
namespace {

class TrainingPlotTest : public PlotFolderTest {
 protected:
  void WriteRun(const TrainingSummary& summary) {
    const nlohmann::json json = ToJson(summary);
    Write("summary.json", json);
    Write("history.json", json["history"]);
  }
  void ExpectPicture() {
    EXPECT_EQ(WriteTrainingPlot(folder()), folder() / "training.png");
    EXPECT_EQ(PngSize("training.png"), std::pair(1650, 1310));
  }
};

TEST_F(TrainingPlotTest, OneEpochAndAHundred) {
  for (const int epochs : {1, 2, 100}) {
    WriteRun(SomeSummary(epochs));
    ExpectPicture();
    EXPECT_EQ(std::ranges::count(Read("training.dat"), '\n'), 2 * (epochs + 1) + 2);
  }
}

TEST_F(TrainingPlotTest, TheDataAreTheHistorys) {
  WriteRun(SomeSummary(4));
  WriteTrainingPlot(folder());
  const std::string data = Read("training.dat");
  EXPECT_EQ(LineAfter(data, "epoch "),
            "epoch train_loss train_accuracy_percent learning_rate data_ms forward_ms "
            "backward_ms exposed_ms optimizer_ms tx_bytes_per_step");
  EXPECT_EQ(LineAfter(data, "4 "), "4 0.5 96 0.125 0.5 8 16 4 1 1000");
  EXPECT_EQ(LineAfter(data, "epoch test_loss", 0), "epoch test_loss test_accuracy_percent");
  EXPECT_EQ(LineAfter(data, "epoch test_loss", 4), "4 0.625 97");
  const std::string script = Read("training.gp");
  EXPECT_NE(script.find("'simple_cnn on mnist, 4 workers, top 1%, 1 kB sent by a worker"),
            std::string::npos);
  EXPECT_NE(script.find("test 97.00% at best"), std::string::npos);
}

TEST_F(TrainingPlotTest, EvaluationsWithinEpochsAreDrawn) {
  TrainingSummary summary = SomeSummary(2);
  WriteRun(summary);
  ExpectPicture();
  EXPECT_NE(Read("training.gp").find("set xrange [0.5:2.5]"), std::string::npos);
  for (uint64_t step : {150u, 200u}) {
    summary.evaluations.push_back({.step = step,
                                   .train_s = 0.3 * static_cast<double>(step),
                                   .test_loss = 1.5,
                                   .test_accuracy_percent = 98});
  }
  WriteRun(summary);
  ExpectPicture();
  EXPECT_EQ(LineAfter(Read("training.dat"), "epoch test_loss", 2), "1.5 1.5 98");
  EXPECT_EQ(LineAfter(Read("training.dat"), "epoch test_loss", 3), "2 1.25 95");
  const std::string script = Read("training.gp");
  EXPECT_NE(script.find("set xrange [0:2.5]"), std::string::npos);
  EXPECT_NE(script.find("test 98.00% at best"), std::string::npos);
}

TEST_F(TrainingPlotTest, AConstantRateIsBelowTheFrame) {
  TrainingSummary summary = SomeSummary(3);
  for (double rate : {0.1, 0.0}) {
    for (EpochRecord& record : summary.history) record.learning_rate = rate;
    WriteRun(summary);
    ExpectPicture();
    const std::string range = LineAfter(Read("training.gp"), "set yrange [0:");
    EXPECT_GT(std::stod(range.substr(range.find(':') + 1)), 1.1 * rate) << range;
  }
}

TEST_F(TrainingPlotTest, OfATextBitsPerByte) {
  TrainingSummary summary = SomeSummary(3);
  for (EpochRecord& record : summary.history) record.test_bits_per_byte = 3.5 / record.epoch;
  WriteRun(summary);
  ExpectPicture();
  EXPECT_EQ(LineAfter(Read("training.dat"), "epoch test_loss", 0),
            "epoch test_loss test_bits_per_byte");
  EXPECT_EQ(LineAfter(Read("training.dat"), "epoch test_loss", 2), "2 1.25 1.75");
  const std::string script = Read("training.gp");
  EXPECT_NE(script.find("'epoch':'test_bits_per_byte'"), std::string::npos);
  EXPECT_EQ(script.find("'epoch':'test_accuracy_percent'"), std::string::npos);
}

TEST_F(TrainingPlotTest, OneWorkerSendsNothing) {
  TrainingSummary summary = SomeSummary(2);
  summary.world_size = 1;
  summary.compress = false;
  for (EpochRecord& record : summary.history) record.tx_bytes_per_step = 0;
  WriteRun(summary);
  ExpectPicture();
  EXPECT_NE(Read("training.gp").find("'simple_cnn on mnist, 1 worker, dense'"), std::string::npos);
}

TEST_F(TrainingPlotTest, WhatIsNotFiniteIsLeftOut) {
  TrainingSummary summary = SomeSummary(3);
  summary.history[1].train_loss = std::numeric_limits<double>::quiet_NaN();
  WriteRun(summary);  // as null
  ExpectPicture();
  EXPECT_EQ(LineAfter(Read("training.dat"), "2 ").substr(0, 9), "2 NaN 92 ");

  for (EpochRecord& record : summary.history) {
    record.train_loss = record.test_loss = std::numeric_limits<double>::infinity();
  }
  WriteRun(summary);
  ExpectPicture();
  EXPECT_NE(Read("training.gp").find("no epoch gave a finite number"), std::string::npos);
}

TEST_F(TrainingPlotTest, HostileFilesAreRefused) {
  const auto refusal = [&](StatusCode code, const std::vector<std::string>& fragments) {
    ExpectRefusal([&] { WriteTrainingPlot(folder()); }, code, fragments);
    EXPECT_FALSE(Has("training.png"));
    EXPECT_FALSE(Has("training.dat"));
  };
  refusal(StatusCode::kUnavailable, {"history.json", "No such file"});
  WriteRun(SomeSummary(2));
  std::filesystem::remove(folder() / "summary.json");
  refusal(StatusCode::kUnavailable, {"summary.json", "No such file"});

  WriteRun(SomeSummary(2));
  const std::string whole = Read("history.json");
  WriteFileAtomically(folder() / "history.json", whole.substr(0, whole.size() / 2));
  refusal(StatusCode::kCorrupt, {"history.json", "line 1"});

  const nlohmann::json history = ToJson(SomeSummary(2))["history"];
  const auto with = [&](const char* key, const nlohmann::json& value) {
    nlohmann::json changed = history;
    changed[1][key] = value;
    Write("history.json", changed);
  };
  with("backward_ms", "fast");
  refusal(StatusCode::kCorrupt, {"history.json", "epoch 2", "backward_ms", "number", "string"});
  with("exposed_ms", -1);
  refusal(StatusCode::kCorrupt, {"history.json", "epoch 2", "exposed_ms", "-1"});
  with("epoch", 1e12);
  refusal(StatusCode::kCorrupt, {"history.json", "epoch 2", "1000000000000"});
  nlohmann::json older = history;
  older[0].erase("learning_rate");
  Write("history.json", older);
  refusal(StatusCode::kCorrupt, {"history.json", "epoch 1", "learning_rate", "version"});
  Write("history.json", nlohmann::json::array());
  refusal(StatusCode::kCorrupt, {"history.json", "no epoch has ended"});
  Write("history.json", {{"epochs", 2}});
  refusal(StatusCode::kCorrupt, {"history.json", "list of epochs", "object"});

  WriteRun(SomeSummary(2));
  nlohmann::json summary = ToJson(SomeSummary(2));
  summary["ratio"] = 7;
  Write("summary.json", summary);
  refusal(StatusCode::kCorrupt, {"summary.json", "ratio", "7"});
  summary["ratio"] = 1;
  summary["evaluations"] = {{{"step", "last"}}};
  Write("summary.json", summary);
  refusal(StatusCode::kCorrupt, {"summary.json", "evaluation 1", "step", "string"});
}

}  // namespace
}  // namespace cddp

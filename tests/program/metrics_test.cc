// What a training leaves in its run folder, also when it is killed.
#include <signal.h>

#include "tests/program/program.h"
#include "tests/trainer/read_metrics.h"

namespace cddp {
namespace {

using MetricsTest = ProgramTest;

TEST_F(MetricsTest, EveryQuantityOfStepsAndEpochs) {
  Child child = Start(
      Train({"--workers", "2", "--compress", "--collective", "gather", "--memory", "residual",
             "--epochs", "2", "--max-train-samples", "1280", "--log-every", "4", "--tensorboard"}));
  ASSERT_EQ(child.Wait(), 0) << child.err();
  const auto records = ReadJsonLines(Runs().at(0) / "metrics.jsonl");
  // Ten steps an epoch: after every fourth, over the end of the first.
  std::vector<std::string> order;
  for (const nlohmann::json& record : records) {
    order.push_back(record["kind"].get<std::string>() + record["step"].dump());
  }
  EXPECT_EQ(order, (std::vector<std::string>{"step4", "step8", "epoch10", "step12", "step16",
                                             "step20", "epoch20"}));
  for (const nlohmann::json& record : records) {
    // Of steps that take data, compute, send and learn, nothing is zero.
    for (const char* name :
         {"data_ms", "forward_ms", "backward_ms", "exposed_ms", "optimizer_ms", "learning_rate",
          "images_per_s", "tx_bytes_per_step", "rx_bytes_per_step", "residual_norm"}) {
      EXPECT_GT(record[name], 0) << name << record;
    }
    // 1% of the large parameters, all of the small ones.
    EXPECT_GT(record["sent_fraction"], 0.01) << record;
    EXPECT_LT(record["sent_fraction"], 0.013) << record;
    if (record["kind"] == "step") {
      EXPECT_GT(record["loss"], 0);
      EXPECT_GT(record["accuracy_percent"], 0);
    } else {
      EXPECT_GT(record["train_loss"], 0);
      EXPECT_GT(record["test_accuracy_percent"], 0);
    }
  }
  EXPECT_LT(records.back()["train_loss"], records[0]["loss"]);

  if (!HavePython()) GTEST_SKIP() << "the reader of event files is in Python";
  const auto files = EventFiles(Runs().at(0));
  ASSERT_EQ(files.size(), 1u);
  const auto events = ReadEvents(files[0]);
  ASSERT_EQ(events.size(), records.size() + 1);
  EXPECT_EQ(events[1]["step"], 4);
  EXPECT_FLOAT_EQ(events[1]["scalars"]["step/loss"], records[0]["loss"]);
  EXPECT_FLOAT_EQ(events[3]["scalars"]["epoch/test_accuracy_percent"],
                  records[2]["test_accuracy_percent"]);
}

TEST_F(MetricsTest, DenseGradientsAreSentWhole) {
  Child child = Start(Train({"--epochs", "1", "--max-train-samples", "640", "--log-every", "0"}));
  ASSERT_EQ(child.Wait(), 0) << child.err();
  const auto records = ReadJsonLines(Runs().at(0) / "metrics.jsonl");
  ASSERT_EQ(records.size(), 1u) << "only the epoch";
  EXPECT_EQ(records[0]["sent_fraction"], 1);
  EXPECT_EQ(records[0]["residual_norm"], 0);
  EXPECT_TRUE(EventFiles(Runs().at(0)).empty());
}

TEST_F(MetricsTest, AKilledTrainingLeavesWholeRecords) {
  Child child = Start(Train({"--epochs", "50", "--log-every", "1", "--tensorboard"}));
  WaitForTraining();
  child.Signal(SIGKILL);
  EXPECT_EQ(child.Wait(), 128 + SIGKILL);
  const auto records = ReadJsonLines(Runs().at(0) / "metrics.jsonl");
  ASSERT_GT(records.size(), 0u);
  EXPECT_EQ(records.back()["step"], records.size());
  if (!HavePython()) GTEST_SKIP() << "the reader of event files is in Python";
  const auto events = ReadEvents(EventFiles(Runs().at(0)).at(0));
  EXPECT_GE(events.size() + 1, records.size());
}

}  // namespace
}  // namespace cddp

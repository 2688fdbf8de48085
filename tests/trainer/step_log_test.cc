#include "trainer/step_log.h"

#include <gtest/gtest.h>

#include <thread>

#include "tests/trainer/read_metrics.h"
#include "trainer/data/temporary_folder.h"

namespace cddp {
namespace {

using std::chrono::milliseconds;

constexpr size_t kElements = 4096;

// One rank that really compresses.
class StepLogTest : public testing::Test {
 protected:
  StepLogTest() : transports_(MakeInProcessTransports(1)) {
    std::unique_ptr<Compressor> compressor;
    ThrowIfError(
        Compressor::Create({.ratio = 0.01, .format = {.values = ValueFormat::kFp32}}, &compressor));
    collective_ = MakeGatherCollective(transports_[0].get(), std::move(compressor));
  }

  void Synchronise(uint64_t step) {
    std::vector<float> gradient(kElements);
    for (size_t i = 0; i < kElements; ++i) gradient[i] = i < 41 ? 100.0f : 1.0f;
    const std::vector<BucketParameter> parameters{{"p", 0, kElements}};
    ASSERT_TRUE(collective_->BeginStep(step).ok());
    ASSERT_TRUE(
        collective_->AllReduceMean({.step = step, .values = gradient, .parameters = parameters})
            .ok());
    collective_->EndStep();
    traffic_.sent += 1000;
    traffic_.received += 10;
  }

  StepLog MakeLog(MetricsLog* metrics, int every) {
    return StepLog(metrics, every, collective_.get(), [this] { return traffic_; });
  }

  TemporaryFolder folder_;
  std::vector<std::unique_ptr<Transport>> transports_;
  std::unique_ptr<Collective> collective_;
  TrafficBytes traffic_{.sent = 5'000'000, .received = 7'000'000};
};

TEST_F(StepLogTest, ARecordEverySoManySteps) {
  MetricsLog metrics(folder_.path(), false);
  StepLog log = MakeLog(&metrics, 2);
  log.BeginEpoch();
  for (uint64_t step = 1; step <= 5; ++step) {
    log.BeginStep();
    Synchronise(step - 1);
    log.EndStep({.step = step,
                 .epoch = 1,
                 .learning_rate = 0.5,
                 .tally = {.loss = static_cast<double>(step), .correct = 1, .samples = 4},
                 .global_samples = 8});
  }
  const auto records = ReadJsonLines(folder_.path() / "metrics.jsonl");
  ASSERT_EQ(records.size(), 2u);
  EXPECT_EQ(records[0]["step"], 2);
  EXPECT_EQ(records[1]["step"], 4);
  EXPECT_EQ(records[0]["loss"], 3.0 / 8) << "of the steps since the record before";
  EXPECT_EQ(records[1]["loss"], 7.0 / 8);
  for (const nlohmann::json& record : records) {
    EXPECT_EQ(record["epoch"], 1);
    EXPECT_EQ(record["learning_rate"], 0.5);
    EXPECT_EQ(record["accuracy_percent"], 25);
    EXPECT_GT(record["images_per_s"], 0);
    EXPECT_EQ(record["tx_bytes_per_step"], 1000);
    EXPECT_EQ(record["rx_bytes_per_step"], 10);
    EXPECT_EQ(record["sent_fraction"], 41.0 / kElements);
  }
  // 41 entries of 100 are sent in the first two steps; what is left grows by one a step.
  EXPECT_NEAR(records[0]["residual_norm"], 2 * std::sqrt(kElements - 41.0), 1e-9);
  EXPECT_NEAR(records[1]["residual_norm"], 4 * std::sqrt(kElements - 41.0), 1e-9);
}

TEST_F(StepLogTest, TimeBelongsToItsPhase) {
  StepLog log = MakeLog(nullptr, 0);
  log.BeginEpoch();
  for (int step = 0; step < 2; ++step) {
    log.BeginStep();
    std::this_thread::sleep_for(milliseconds(20));
    log.Lap(StepPhase::kData);
    std::this_thread::sleep_for(milliseconds(40));
    log.Lap(StepPhase::kBackward);
    log.Move(StepPhase::kBackward, StepPhase::kExposed, milliseconds(30));
    log.EndStep({});
    std::this_thread::sleep_for(milliseconds(20));  // between steps: of none
  }
  const StepMeans means = log.EndEpoch();
  EXPECT_GE(means.data_ms, 20);
  EXPECT_GE(means.backward_ms, 10);
  EXPECT_EQ(means.exposed_ms, 30);
  EXPECT_EQ(means.forward_ms, 0);
  log.BeginEpoch();
  EXPECT_EQ(log.EndEpoch().data_ms, 0);
}

// Three steps an epoch and a record of every four: it holds steps of both epochs, and neither
// the evaluation between them nor a checkpoint within.
TEST_F(StepLogTest, ARecordGoesOnOverEpochsWithoutWhatIsNoTraining) {
  MetricsLog metrics(folder_.path(), false);
  StepLog log = MakeLog(&metrics, 4);
  const auto other_work = [&] {
    std::this_thread::sleep_for(milliseconds(300));
    traffic_.sent += 1'000'000;
    traffic_.received += 1'000'000;
  };
  uint64_t step = 0;
  for (const int epoch : {1, 2}) {
    log.BeginEpoch();
    for (int i = 0; i < 3; ++i) {
      log.BeginStep();
      Synchronise(step);
      log.EndStep({.step = ++step, .epoch = epoch, .tally = {.samples = 1}, .global_samples = 10});
      if (i > 0) continue;
      const auto start = std::chrono::steady_clock::now();
      other_work();
      log.Exclude(std::chrono::steady_clock::now() - start,
                  {.sent = 1'000'000, .received = 1'000'000});
    }
    log.EndEpoch();
    other_work();
  }
  const auto records = ReadJsonLines(folder_.path() / "metrics.jsonl");
  ASSERT_EQ(records.size(), 1u);
  EXPECT_EQ(records[0]["step"], 4);
  EXPECT_EQ(records[0]["epoch"], 2) << "of the last step";
  EXPECT_EQ(records[0]["tx_bytes_per_step"], 1000);
  EXPECT_EQ(records[0]["rx_bytes_per_step"], 10);
  EXPECT_GT(records[0]["images_per_s"], 40 / 0.3);
}

TEST_F(StepLogTest, WithoutSamplesThereIsNoLoss) {
  MetricsLog metrics(folder_.path(), false);
  StepLog log = MakeLog(&metrics, 1);
  log.BeginStep();
  log.EndStep({.step = 1});
  const auto records = ReadJsonLines(folder_.path() / "metrics.jsonl");
  ASSERT_EQ(records.size(), 1u);
  EXPECT_TRUE(records[0]["loss"].is_null());
}

}  // namespace
}  // namespace cddp

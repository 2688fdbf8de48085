#include "trainer/plots/evaluation_points.h"

#include "tests/trainer/plots/plot_folder.h"

namespace cddp {
namespace {

// Epochs of 100 steps and 30 s, of which evaluations tell `steps`.
TrainingSummary Evaluated(int epochs, const std::vector<uint64_t>& steps) {
  TrainingSummary run = SomeSummary(epochs);
  for (uint64_t step : steps) {
    run.evaluations.push_back({.step = step,
                               .train_s = 0.3 * static_cast<double>(step),
                               .test_loss = 3,
                               .test_accuracy_percent = static_cast<double>(step) / 10});
  }
  return run;
}

std::vector<EvaluationPoint> Points(const TrainingSummary& run) {
  return EvaluationPoints(run, run.history);
}

TEST(EvaluationPointsTest, WithoutEvaluationsTheEndsOfEpochs) {
  const auto points = Points(SomeSummary(3));
  ASSERT_EQ(points.size(), 3u);
  EXPECT_EQ(points[1].epoch, 2);
  EXPECT_EQ(points[1].seconds, 60);
  EXPECT_EQ(points[1].bytes, 200'000);
  EXPECT_EQ(points[1].test_loss, 1.25);
  EXPECT_EQ(points[1].quality, 95);
  EXPECT_FALSE(AnyWithinEpochs(points));
}

TEST(EvaluationPointsTest, EvaluationsLieBetweenTheEndsOfEpochs) {
  TrainingSummary run = Evaluated(2, {40, 80, 100, 120, 160, 200});
  run.history[1].tx_bytes_per_step = 10;
  const auto points = Points(run);
  ASSERT_EQ(points.size(), 6u) << "the ends of epochs are evaluations too";
  EXPECT_TRUE(AnyWithinEpochs(points));
  EXPECT_EQ(points[0].epoch, 0.4);
  EXPECT_EQ(points[0].seconds, 12);
  EXPECT_EQ(points[0].bytes, 40'000);
  EXPECT_EQ(points[0].test_loss, 3);
  EXPECT_EQ(points[0].quality, 4);
  EXPECT_EQ(points[2].epoch, 1);
  EXPECT_EQ(points[2].quality, 91);
  EXPECT_EQ(points[4].epoch, 1.6);
  EXPECT_EQ(points[4].bytes, 100'600);
  EXPECT_EQ(points[5].seconds, 60);
}

// As of a run that went on with fewer workers.
TEST(EvaluationPointsTest, EpochsMayHaveOtherNumbersOfSteps) {
  TrainingSummary run = SomeSummary(2);
  run.steps = 300;
  const auto tell = [&](uint64_t step, double train_s) {
    run.evaluations.push_back({.step = step, .train_s = train_s, .test_loss = 3});
  };
  tell(50, 15), tell(100, 30), tell(150, 37.5), tell(300, 60);
  const auto points = Points(run);
  ASSERT_EQ(points.size(), 4u);
  EXPECT_EQ(points[0].epoch, 0.5);
  EXPECT_EQ(points[2].epoch, 1.25);
  EXPECT_EQ(points[3].bytes, 300'000);
}

TEST(EvaluationPointsTest, OfATextBits) {
  TrainingSummary run = Evaluated(1, {50});
  run.history[0].test_bits_per_byte = 5;  // of a loss of 2.5
  EXPECT_EQ(Points(run)[0].quality, 6);
}

TEST(EvaluationPointsTest, WhatIsOutOfOrderIsLeftOut) {
  TrainingSummary run = Evaluated(2, {0, 40, 120, 400});
  run.evaluations[2].train_s = 29;  // in the second epoch, by its step alone
  const auto points = Points(run);
  ASSERT_EQ(points.size(), 3u);
  EXPECT_EQ(points[0].epoch, 0.4);
  EXPECT_EQ(points[2].epoch, 2);
  run.steps = 0;
  EXPECT_EQ(Points(run).size(), 2u);
}

}  // namespace
}  // namespace cddp

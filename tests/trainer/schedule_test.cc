#include "trainer/schedule.h"

#include <gtest/gtest.h>

#include "trainer/loss_scaler.h"

namespace cddp {
namespace {

TrainOptions RunOf(const std::string& schedule, int epochs) {
  TrainOptions options;
  options.schedule = schedule;
  options.epochs = epochs;
  options.lr = 0.1;
  return options;
}

TEST(WarmUpRatio, FallsByEqualFactors) {
  const TrainOptions four{.ratio = 0.001, .warmup_epochs = 4};
  EXPECT_NEAR(WarmUpRatio(four, 1, 0), 0.2512, 1e-4);
  EXPECT_NEAR(WarmUpRatio(four, 4, 3000), 0.00398, 1e-5);
  EXPECT_EQ(WarmUpRatio(four, 5, 4000), 0.001);
  EXPECT_EQ(WarmUpRatio({.ratio = 0.01}, 1, 0), 0.01);
}

TEST(WarmUpRatio, FallsStepByStep) {
  const TrainOptions two{.ratio = 0.01, .warmup_steps = 2};
  EXPECT_EQ(WarmUpRatio(two, 1, 0), 0.25);
  EXPECT_NEAR(WarmUpRatio(two, 1, 1), 0.05, 1e-9);  // their geometric mean
  EXPECT_EQ(WarmUpRatio(two, 1, 2), 0.01);
  EXPECT_EQ(WarmUpRatio(two, 7, 1'000'000), 0.01);
  EXPECT_EQ(WarmUpRatio({.ratio = 0.5, .warmup_steps = 2}, 1, 0), 0.5);
}

TEST(RateSchedule, ConstantStays) {
  const RateSchedule schedule(RunOf("constant", 10), 4, 10);
  EXPECT_EQ(schedule.Rate(0), 0.1);
  EXPECT_EQ(schedule.Rate(99), 0.1);
}

TEST(RateSchedule, MultistepFallsBehindEachMilestone) {
  TrainOptions options = RunOf("multistep", 10);
  options.milestones = {5, 8};
  const RateSchedule schedule(options, 1, 100);
  EXPECT_DOUBLE_EQ(schedule.Rate(499), 0.1);  // the last step of epoch 5
  EXPECT_DOUBLE_EQ(schedule.Rate(500), 0.01);
  EXPECT_DOUBLE_EQ(schedule.Rate(799), 0.01);
  EXPECT_DOUBLE_EQ(schedule.Rate(800), 0.001);
}

TEST(RateSchedule, CosineFallsFromThePeakToZero) {
  const RateSchedule schedule(RunOf("cosine", 10), 1, 10);
  EXPECT_DOUBLE_EQ(schedule.Rate(0), 0.1);
  EXPECT_NEAR(schedule.Rate(25), 0.1 * 0.8535533905932737, 1e-12);  // (1 + cos 45 degrees) / 2
  EXPECT_NEAR(schedule.Rate(50), 0.05, 1e-12);
  EXPECT_NEAR(schedule.Rate(99), 0.1 * 0.0002467198171, 1e-12);
}

// Python's torch 1.13:
//   s = torch.optim.lr_scheduler.OneCycleLR(o, max_lr=1.0, total_steps=10, cycle_momentum=False)
//   for i in range(10): print(o.param_groups[0]['lr']); o.step(); s.step()
TEST(RateSchedule, OneCycleIsTorchs) {
  TrainOptions options = RunOf("onecycle", 2);
  options.lr = 1.0;
  const RateSchedule schedule(options, 1, 5);
  const double expected[] = {0.040000000000000036,
                             0.52,
                             1.0,
                             0.9504846320134737,
                             0.8117456539497631,
                             0.6112620219362893,
                             0.38874197806371075,
                             0.18825834605023697,
                             0.049519367986526286,
                             4e-06};
  for (uint64_t step = 0; step < 10; ++step) {
    EXPECT_NEAR(schedule.Rate(step), expected[step], 1e-12) << step;
  }
}

TEST(RateSchedule, OneCycleOfOneStepIsFinite) {
  const RateSchedule schedule(RunOf("onecycle", 1), 1, 1);
  EXPECT_NEAR(schedule.Rate(0), 0.1 / 250'000, 1e-12);
}

TEST(RateSchedule, WarmUpClimbsByEqualAmounts) {
  TrainOptions options = RunOf("constant", 10);
  options.lr_warmup_epochs = 2;
  const RateSchedule schedule(options, 1, 5);
  EXPECT_DOUBLE_EQ(schedule.Rate(0), 0.01);
  EXPECT_DOUBLE_EQ(schedule.Rate(4), 0.05);
  EXPECT_DOUBLE_EQ(schedule.Rate(9), 0.1);
  EXPECT_DOUBLE_EQ(schedule.Rate(10), 0.1);
}

TEST(RateSchedule, CosineBeginsBehindTheWarmUp) {
  TrainOptions options = RunOf("cosine", 10);
  options.lr_warmup_epochs = 2;
  const RateSchedule schedule(options, 1, 10);
  EXPECT_DOUBLE_EQ(schedule.Rate(20), 0.1);
  EXPECT_NEAR(schedule.Rate(60), 0.05, 1e-12);
}

// Goyal et al. 2017: 0.1 for 256 becomes 3.2 for 8192, after a warm-up from 0.1.
TEST(RateSchedule, ScaledRateClimbsFromTheUnscaledOne) {
  TrainOptions options = RunOf("multistep", 90);
  options.milestones = {30, 60, 80};
  options.scale_lr = true;
  EXPECT_DOUBLE_EQ(RateSchedule(options, 32, 156).Rate(0), 3.2);
  options.lr_warmup_epochs = 5;
  const RateSchedule schedule(options, 32, 156);
  EXPECT_NEAR(schedule.Rate(0), 0.1 + 3.1 / 780, 1e-12);
  EXPECT_NEAR(schedule.Rate(389), 1.65, 1e-12);  // half way
  EXPECT_DOUBLE_EQ(schedule.Rate(779), 3.2);
  EXPECT_DOUBLE_EQ(schedule.Rate(30 * 156), 0.32);
}

// A step of four accumulated batches is as large as one of four times the workers.
TEST(RateSchedule, ScaledRateCountsAccumulatedBatches) {
  TrainOptions options = RunOf("constant", 3);
  options.accumulate = 4;
  EXPECT_DOUBLE_EQ(RateSchedule(options, 8, 100).Rate(0), 0.1);
  options.scale_lr = true;
  EXPECT_DOUBLE_EQ(RateSchedule(options, 8, 100).Rate(0), 3.2);
}

TEST(LossScaler, HalvesAfterAVoidStepAndDoublesAfterManyGoodOnes) {
  LossScaler scaler;
  EXPECT_EQ(scaler.scale(), 65536);
  scaler.Update(StepOutcome::kVoid);
  EXPECT_EQ(scaler.scale(), 32768);
  for (uint64_t step = 1; step < LossScaler::kGrowthInterval; ++step) {
    scaler.Update(StepOutcome::kCommitted);
  }
  EXPECT_EQ(scaler.scale(), 32768);
  scaler.Update(StepOutcome::kCommitted);
  EXPECT_EQ(scaler.scale(), 65536);
}

TEST(LossScaler, AVoidStepStartsTheCountAnew) {
  LossScaler scaler;
  scaler.set_state({.scale = 1024, .committed = LossScaler::kGrowthInterval - 1});
  scaler.Update(StepOutcome::kVoid);
  scaler.Update(StepOutcome::kCommitted);
  EXPECT_EQ(scaler.state(), (LossScaler::State{.scale = 512, .committed = 1}));
}

TEST(LossScaler, GrowsToALimit) {
  LossScaler scaler;
  for (uint64_t step = 0; step < 20 * LossScaler::kGrowthInterval; ++step) {
    scaler.Update(StepOutcome::kCommitted);
  }
  EXPECT_EQ(scaler.scale(), 16'777'216);
}

}  // namespace
}  // namespace cddp

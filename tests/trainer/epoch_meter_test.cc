#include "trainer/epoch_meter.h"

#include <gtest/gtest.h>

#include <thread>

namespace cddp {
namespace {

using std::chrono::milliseconds;

class EpochMeterTest : public testing::Test {
 protected:
  const std::unique_ptr<World> world_ = World::Join({});
  TrafficBytes traffic_{.sent = 1000, .received = 2000};
  EpochMeter meter_{[this] { return traffic_; }};
};

TEST_F(EpochMeterTest, CountsTrainingAlone) {
  meter_.Begin();
  meter_.Add({.loss = 2, .correct = 1, .samples = 4});
  traffic_.sent += 30;
  std::this_thread::sleep_for(milliseconds(20));
  // An evaluation.
  const auto start = std::chrono::steady_clock::now();
  std::this_thread::sleep_for(milliseconds(500));
  traffic_.sent += 500;
  traffic_.received += 500;
  meter_.Exclude(std::chrono::steady_clock::now() - start, {.sent = 500, .received = 500});
  traffic_.received += 7;
  const EpochMeter::Totals totals = meter_.End(*world_);
  EXPECT_EQ(totals.trained.mean_loss(), 0.5);
  EXPECT_EQ(totals.sent, 30);
  EXPECT_EQ(totals.received, 7);
  EXPECT_GE(totals.seconds, 0.02);
  EXPECT_LT(totals.seconds, 0.4);
}

TEST_F(EpochMeterTest, GoesOnWithAnEpochThatWasInterruptedAndThenAnew) {
  meter_.GoOn(
      {.tally = {.loss = 1, .correct = 2, .samples = 3}, .sent = 4, .received = 5, .seconds = 600});
  EXPECT_TRUE(meter_.goes_on());
  meter_.Begin();
  meter_.Add({.loss = 1, .correct = 1, .samples = 1});
  traffic_.sent += 10;
  const EpochSums now = meter_.Now();
  EXPECT_EQ(now.tally.loss, 2);
  EXPECT_EQ(now.sent, 14);
  EXPECT_GE(now.seconds, 600);
  EXPECT_EQ(meter_.End(*world_).trained.samples, 4);
  EXPECT_FALSE(meter_.goes_on());
  meter_.Begin();
  EXPECT_EQ(meter_.Now().tally.samples, 0);
  EXPECT_LT(meter_.Now().seconds, 600);
}

}  // namespace
}  // namespace cddp

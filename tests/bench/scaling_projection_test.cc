#include "bench/scaling_projection.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "bench/amdahl.h"
#include "bench/scaling_report.h"
#include "tests/bench/scaling_fixtures.h"

namespace cddp {
namespace {

const ScalingRow& RowOf(const std::vector<ScalingRow>& rows, int workers, bool projected) {
  return *std::ranges::find_if(rows, [&](const ScalingRow& row) {
    return row.workers == workers && row.projected == projected;
  });
}

// 100 ms of computation, and 100 ms a MB.
constexpr KnownModel kLink{.ms_per_byte = 1e-4, .bytes = 1e6};

TEST(AmdahlTest, ByHand) {
  // A tenth of the work is serial: 10 times the workers are 1 / (0.1 + 0.09) times as fast.
  EXPECT_NEAR(AmdahlSpeedup(0.1, 10), 1 / 0.19, 1e-12);
  EXPECT_EQ(AmdahlSpeedup(0.3, 1), 1);
}

TEST(AmdahlTest, TheFractionIsTheExposedShareOfTheStep) {
  // Of 200 ms of four workers 120 are waited. If they shared the batch of two, who wait 60, a step
  // would take 40 + 120 ms; the law of those two says 40 + 60.
  const auto report =
      MakeScalingReport({Point("dense", 1, 0, 80, 80, 0), Point("dense", 2, 60, 140, 80, 1e6),
                         Point("dense", 4, 120, 200, 80, 1.5e6)},
                        {});
  const AmdahlLaw law = AmdahlOf(report.rows, "dense");
  EXPECT_EQ(law.of_workers, 4);
  EXPECT_NEAR(law.serial_fraction, 0.6, 1e-12);
  EXPECT_NEAR(law.held_out_step_error_percent, 37.5, 1e-9);
}

TEST(AmdahlTest, IsAFractionWhereThereIsNoSpeedup) {
  const auto all = MakeScalingReport(Points("dense", kLink, {2, 4}, 0), {});
  EXPECT_EQ(AmdahlOf(all.rows, "dense").serial_fraction, 1);
  const auto none = MakeScalingReport(
      {Point("dense", 2, 10, 80, 80, 1e6), Point("dense", 4, 10, 75, 80, 1.5e6)}, {});
  EXPECT_EQ(AmdahlOf(none.rows, "dense").serial_fraction, 0);
  EXPECT_TRUE(ScalingSummaryJson(none)["collectives"][0]["amdahl"]["max_times_as_fast"].is_null());
}

TEST(ScalingProjectionTest, SpeedupAndEfficiencyByHand) {
  const auto report = MakeScalingReport(Points("dense", kLink, {1, 2, 4}), {.batch_size = 32});
  EXPECT_EQ(report.baseline.step_ms, 100);
  EXPECT_FALSE(report.baseline.projected);
  // 2 workers exchange 1 MB in 100 ms.
  const ScalingRow& two = RowOf(report.rows, 2, false);
  EXPECT_DOUBLE_EQ(two.step_ms, 200);
  EXPECT_DOUBLE_EQ(two.exposed_ms, 100);
  EXPECT_DOUBLE_EQ(*two.efficiency_fraction, 0.5);
  EXPECT_DOUBLE_EQ(*two.speedup, 1);
  EXPECT_DOUBLE_EQ(two.samples_per_s, 2 * 32 / 0.2);
  // 8 workers exchange 1.75 MB.
  const ScalingRow& eight = RowOf(report.rows, 8, true);
  EXPECT_NEAR(eight.step_ms, 275, 1e-9);
  EXPECT_NEAR(*eight.speedup, 8 * 100 / 275.0, 1e-9);
  EXPECT_NEAR(eight.tx_bytes_per_step, 1.75e6, 1e-3);
}

TEST(ScalingProjectionTest, CostOfAnEpochByHand) {
  // 1000 samples are ceil(1000 / 64) = 16 steps of 2 workers with 32 each, of 0.2 s: two
  // workers for 3.2 s, at 9 for an hour.
  const auto report = MakeScalingReport(Points("dense", kLink, {1, 2, 4}),
                                        {.batch_size = 32, .samples = 1000, .price = 9.0});
  const ScalingRow& two = RowOf(report.rows, 2, false);
  EXPECT_NEAR(*two.epoch_hours, 3.2 / 3600, 1e-15);
  EXPECT_NEAR(*two.cost_per_epoch, 0.016, 1e-12);
  EXPECT_FALSE(RowOf(MakeScalingReport(report.points, {}).rows, 2, false).cost_per_epoch);
}

TEST(ScalingProjectionTest, RepeatsAreOneRowOfTheirMedian) {
  std::vector<SyncPoint> points = Points("dense", kLink, {1, 2, 4});
  points.push_back(Point("dense", 2, 100, 210, 100, 1e6));
  points.push_back(Point("dense", 2, 100, 230, 100, 1e6));
  const auto report = MakeScalingReport(points, {});
  EXPECT_EQ(RowOf(report.rows, 2, false).step_ms, 210);
  EXPECT_EQ(std::ranges::count_if(report.rows, [](const auto& row) { return !row.projected; }), 3);
}

TEST(ScalingProjectionTest, TheBaselineIsTheFastestOfOneWorker) {
  std::vector<SyncPoint> points = Points("dense", kLink, {1, 2, 4});
  points.push_back(Point("split", 1, 0, 90, 90, 0));
  EXPECT_EQ(BaselineOf(points).step_ms, 90);
  const Baseline none = BaselineOf(Points("dense", kLink, {2, 4}));
  EXPECT_EQ(none.step_ms, 100);
  EXPECT_TRUE(none.projected);
}

TEST(ScalingProjectionTest, WithoutABaselineThereAreNoSpeedups) {
  std::vector<SyncPoint> points = Points("dense", kLink, {2, 4}, 0);
  for (const bool one_worker : {false, true}) {
    // Its step, which computes and sends nothing, is none to compare with.
    if (one_worker) points.push_back(Point("dense", 1, 4, 4, 0, 0));
    const auto report = MakeScalingReport(points, {});
    EXPECT_EQ(report.baseline.step_ms, 0);
    for (const ScalingRow& row : report.rows) EXPECT_FALSE(row.speedup);
  }
}

TEST(ScalingProjectionTest, TheRangeIsThatOfModelsWithoutAPoint) {
  // 8 and 12 ms say 8 ms a MB; 17.5 ms of 8 workers do not. 16 workers send 1.875 MB.
  const auto report = MakeScalingReport(
      {Point("dense", 2, 8, 108, 100, 1e6), Point("dense", 4, 12, 112, 100, 1.5e6),
       Point("dense", 8, 17.5, 117.5, 100, 1.75e6)},
      {});
  const ScalingRow& row = RowOf(report.rows, 16, true);
  EXPECT_NEAR(*row.step_ms_low, 115, 1e-9);  // without the 8 workers
  EXPECT_GT(row.step_ms, 115);
  EXPECT_GE(*row.step_ms_high, 126.25 - 1e-9);  // without the 2 workers: 0.5 x 30 + 6 x 1.875
  EXPECT_NEAR(*row.held_out_sync_error_percent, 20, 1e-9);
}

}  // namespace
}  // namespace cddp

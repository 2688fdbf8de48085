#include "bench/scaling_bandwidth.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <set>
#include <string>

namespace cddp {
namespace {

CollectiveStudy Study(const std::string& collective, double latency_ms, double bytes) {
  CollectiveStudy study;
  study.model = {.collective = collective,
                 .latency_ms = latency_ms,
                 .ms_per_byte = 1,
                 .bytes_per_volume = bytes,
                 .compute_ms = 10};
  study.held_out = {{.workers = 2,
                     .sync_ms = 1,
                     .predicted_sync_ms = 1,
                     .step_ms = 100,
                     .predicted_step_ms = 103}};
  return study;
}

// With 2 workers the volume is once bytes_per_volume and there are two messages.
std::vector<CollectiveStudy> Two() { return {Study("dense", 1, 1e8), Study("split", 6, 1e6)}; }

// The same, measured on links of 1 Gbit/s, whose line takes 8e-6 ms a byte.
std::vector<CollectiveStudy> TwoAt1Gbit(double ms_per_byte) {
  std::vector<CollectiveStudy> studies = Two();
  for (CollectiveStudy& study : studies) {
    study.link_mbit_s = 1000;
    study.model.ms_per_byte = ms_per_byte;
  }
  return studies;
}

const BandwidthRow& At(const std::vector<BandwidthRow>& rows, const std::string& collective,
                       double mbit_s) {
  return *std::ranges::find_if(rows, [&](const BandwidthRow& row) {
    return row.collective == collective && row.workers == 2 && row.mbit_s == mbit_s;
  });
}

TEST(ScalingBandwidth, WithoutTheRateOfThePointsBytesTakeTheTimeOfTheLine) {
  const std::vector<BandwidthRow> rows = ProjectBandwidths(Two(), 8);
  EXPECT_EQ(rows.size(), 2 * 3 * ProjectedMbitS().size());
  // 100 MB at 1 Gbit/s: 800 ms, and two latencies.
  EXPECT_NEAR(At(rows, "dense", 1000).sync_ms, 802, 1e-9);
  EXPECT_NEAR(At(rows, "dense", 1000).step_ms, 812, 1e-9);
  EXPECT_NEAR(At(rows, "split", 1000).step_ms, 10 + 12 + 8, 1e-9);
  EXPECT_NEAR(*At(rows, "split", 1000).times_as_fast_as_dense, 812.0 / 30, 1e-9);
  EXPECT_NEAR(*At(rows, "dense", 1000).times_as_fast_as_dense, 1, 1e-12);
  EXPECT_FALSE(At(rows, "split", 1000).held_out_step_error_percent);
  EXPECT_TRUE(ToJson(At(rows, "split", 1000))["held_out_step_error_percent"].is_null());
  // At 100 Gbit/s messages are what counts.
  EXPECT_LT(*At(rows, "split", 100'000).times_as_fast_as_dense, 1);
}

TEST(ScalingBandwidth, AtTheRateOfThePointsItIsTheirModel) {
  for (const double ms_per_byte : {0.0, 6e-6, 8e-6, 1e-5}) {
    for (const CollectiveStudy& study : TwoAt1Gbit(ms_per_byte)) {
      EXPECT_EQ(AtBandwidth(study, 1000).ms_per_byte, ms_per_byte);
    }
  }
  const std::vector<BandwidthRow> rows = ProjectBandwidths(TwoAt1Gbit(6e-6), 8);
  EXPECT_NEAR(At(rows, "dense", 1000).step_ms, 10 + 2 + 600, 1e-9);
  EXPECT_NEAR(*At(rows, "dense", 1000).held_out_step_error_percent, 3, 1e-9);
}

TEST(ScalingBandwidth, BytesScaleWithTheBandwidthAndAreNeverFasterThanTheLine) {
  const CollectiveStudy hidden = TwoAt1Gbit(6e-6)[0];  // 2e-6 of the line lie behind computation
  EXPECT_NEAR(AtBandwidth(hidden, 10'000).ms_per_byte, 6e-7, 1e-18);
  EXPECT_NEAR(AtBandwidth(hidden, 100).ms_per_byte, 8e-5 - 2e-6, 1e-18);
  const CollectiveStudy slow = TwoAt1Gbit(1e-5)[0];  // 2e-6 are not the line's
  EXPECT_NEAR(AtBandwidth(slow, 10'000).ms_per_byte, 8e-7 + 2e-6, 1e-18);
  EXPECT_NEAR(AtBandwidth(slow, 100).ms_per_byte, 1e-4, 1e-18);
}

TEST(ScalingBandwidth, WhereItIsFasterByHand) {
  // 8 workers, dense 1.75 MB, split 0.175 MB and 10 ms of work: 1.575 MB in 10 ms are
  // 1260 Mbit/s.
  CollectiveStudy dense = Study("dense", 0, 1e6);
  CollectiveStudy split = Study("split", 0, 1e5);
  split.model.fixed_ms = 10;
  EXPECT_NEAR(FasterThanDense(dense, split, 8).below, 1260, 1e-6);
  EXPECT_EQ(FasterThanDense(dense, split, 8).above, 0);
  // Twice that where bytes took twice the line's time.
  for (CollectiveStudy* study : {&dense, &split}) {
    study->link_mbit_s = 10'000;
    study->model.ms_per_byte = 1.6e-6;
  }
  EXPECT_NEAR(FasterThanDense(dense, split, 8).below, 2520, 1e-6);
  split.model.fixed_ms = 0;
  EXPECT_EQ(FasterThanDense(dense, split, 8).above, 0);
  EXPECT_TRUE(std::isinf(FasterThanDense(dense, split, 8).below));
  // Twice the bytes, 1.75 MB more, and 10 ms less: above 2800 Mbit/s.
  split.model.bytes_per_volume = 2e6;
  dense.model.fixed_ms = 10;
  EXPECT_NEAR(FasterThanDense(dense, split, 8).above, 2800, 1e-6);
  EXPECT_TRUE(std::isinf(FasterThanDense(dense, split, 8).below));
  dense.model.fixed_ms = 0;
  EXPECT_EQ(FasterThanDense(dense, split, 8).below, 0);
}

TEST(ScalingBandwidth, WithoutDenseThereIsNothingToCompareWith) {
  for (const BandwidthRow& row : ProjectBandwidths({Study("split", 6, 1e6)}, 4)) {
    EXPECT_FALSE(row.times_as_fast_as_dense);
    EXPECT_EQ(ToJson(row)["projected"], true);
  }
}

TEST(ScalingBandwidth, TheTableSaysWhereCompressionPays) {
  // 99 MB saved against 10 ms more: 79.2 Gbit/s.
  const std::string table = BandwidthTable(Two(), 2);
  EXPECT_NE(table.find("split, 2 workers, projected: pays below 79.2 Gbit/s"), std::string::npos)
      << table;
  EXPECT_NE(table.find("dense (no error is known)"), std::string::npos) << table;
  const std::string known = BandwidthTable(TwoAt1Gbit(6e-6), 2);
  EXPECT_NE(known.find("dense (held-out error 3% at 1 Gbit/s)"), std::string::npos) << known;
  const std::string none = BandwidthTable({Study("dense", 1, 1e6), Study("split", 6, 1e6)}, 2);
  EXPECT_NE(none.find("does not pay"), std::string::npos) << none;
  const std::string always = BandwidthTable({Study("dense", 6, 1e6), Study("split", 1, 1e5)}, 2);
  EXPECT_NE(always.find("faster than dense at any bandwidth"), std::string::npos) << always;
}

TEST(ScalingBandwidth, ThePictureSaysThatItIsProjected) {
  const Picture picture = BandwidthPicture(TwoAt1Gbit(8e-6), 2, 256, "steps");
  EXPECT_NE(picture.script.find("all projected"), std::string::npos);
  EXPECT_NE(picture.script.find("'split, 256 workers (held-out error 3% at 1 Gbit/s)'"),
            std::string::npos)
      << picture.script;
  EXPECT_NE(picture.data.find("\n1 812 "), std::string::npos) << picture.data;
}

TEST(ScalingBandwidth, EachLineOfThePictureHasAStyleOfItsOwn) {
  const std::string script = BandwidthPicture(TwoAt1Gbit(8e-6), 2, 256, "steps").script;
  std::set<std::string> styles;
  for (size_t at = script.find(" with linespoints ls "); at != std::string::npos;
       at = script.find(" with linespoints ls ", at + 1)) {
    styles.insert(script.substr(at + 18, 5));
    EXPECT_NE(script.find("set style line " + script.substr(at + 21, 2)), std::string::npos);
  }
  EXPECT_EQ(styles.size(), 4u) << script;
}

TEST(ScalingBandwidth, TheAxisIsTheDatasAndAFactorOfTwo) {
  // Dense takes 10 + 2 + 8 ms at 100 Gbit/s and 8012 ms at 0.1 Gbit/s.
  const std::string script = BandwidthPicture(TwoAt1Gbit(8e-6), 2, 2, "steps").script;
  const size_t at = script.find("set yrange [");
  ASSERT_NE(at, std::string::npos) << script;
  const std::string range = script.substr(at + 12);
  EXPECT_NEAR(std::stod(range), 20.0 / 2, 0.01);
  EXPECT_NEAR(std::stod(range.substr(range.find(':') + 1)), 8012 * 1.96, 1);
}

}  // namespace
}  // namespace cddp

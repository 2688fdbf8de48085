#include "bench/scaling_bandwidth.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace cddp {
namespace {

CollectiveStudy Study(const std::string& collective, double latency_ms, double bytes) {
  CollectiveStudy study;
  study.model = {.collective = collective,
                 .latency_ms = latency_ms,
                 .ms_per_byte = 1,  // of the links that were measured: has no say
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

const BandwidthRow& At(const std::vector<BandwidthRow>& rows, const std::string& collective,
                       double mbit_s) {
  return *std::ranges::find_if(rows, [&](const BandwidthRow& row) {
    return row.collective == collective && row.workers == 2 && row.mbit_s == mbit_s;
  });
}

TEST(ScalingBandwidth, BytesTakeTheTimeOfTheLink) {
  const std::vector<BandwidthRow> rows = ProjectBandwidths(Two(), 8);
  EXPECT_EQ(rows.size(), 2 * 3 * ProjectedMbitS().size());
  // 100 MB at 1 Gbit/s: 800 ms, and two latencies.
  EXPECT_NEAR(At(rows, "dense", 1000).sync_ms, 802, 1e-9);
  EXPECT_NEAR(At(rows, "dense", 1000).step_ms, 812, 1e-9);
  EXPECT_NEAR(At(rows, "split", 1000).step_ms, 10 + 12 + 8, 1e-9);
  EXPECT_NEAR(*At(rows, "split", 1000).times_as_fast_as_dense, 812.0 / 30, 1e-9);
  EXPECT_NEAR(*At(rows, "dense", 1000).times_as_fast_as_dense, 1, 1e-12);
  EXPECT_NEAR(At(rows, "split", 1000).held_out_step_error_percent, 3, 1e-9);
  // At 100 Gbit/s messages are what counts.
  EXPECT_LT(*At(rows, "split", 100'000).times_as_fast_as_dense, 1);
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
  EXPECT_NE(table.find("dense (held-out error 3%)"), std::string::npos) << table;
  const std::string none = BandwidthTable({Study("dense", 1, 1e6), Study("split", 6, 1e6)}, 2);
  EXPECT_NE(none.find("does not pay"), std::string::npos) << none;
  const std::string always = BandwidthTable({Study("dense", 6, 1e6), Study("split", 1, 1e5)}, 2);
  EXPECT_NE(always.find("faster than dense at any bandwidth"), std::string::npos) << always;
}

TEST(ScalingBandwidth, ThePictureSaysThatItIsProjected) {
  const Picture picture = BandwidthPicture(Two(), 2, 256, "steps");
  EXPECT_NE(picture.script.find("all projected"), std::string::npos);
  EXPECT_NE(picture.script.find("'split, 256 workers (held-out error 3%)'"), std::string::npos)
      << picture.script;
  EXPECT_NE(picture.data.find("\n1 812 "), std::string::npos) << picture.data;
}

}  // namespace
}  // namespace cddp

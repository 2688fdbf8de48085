// What a reader of the report gets: every projection flagged and with its error.
#include "bench/scaling_report.h"

#include <gtest/gtest.h>

#include "tests/bench/scaling_fixtures.h"

namespace cddp {
namespace {

using Json = nlohmann::json;

std::vector<SyncPoint> ThreeCollectives(const std::vector<int>& workers = {1, 2, 4, 8}) {
  std::vector<SyncPoint> points =
      Points("dense", {.latency_ms = 1, .ms_per_byte = 1e-4, .bytes = 4e6}, workers);
  for (const char* collective : {"gather", "split"}) {
    const KnownModel model{.fixed_ms = 12, .ms_per_byte = 1e-4, .bytes = 2e4};
    for (const SyncPoint& point : Points(collective, model, workers)) points.push_back(point);
  }
  return points;
}

ScalingReport ReportOfThree() {
  return MakeScalingReport(ThreeCollectives(), {.samples = 1000, .price = 1.0});
}

TEST(ScalingReportTest, EveryProjectedRowIsFlaggedAndCarriesItsError) {
  const Json rows = ScalingRowsJson(ReportOfThree());
  EXPECT_EQ(rows.size(), 3u * (4 + 8));  // measured; 2 to 256
  int measured_rows = 0;
  for (const Json& row : rows) {
    const bool measured = row["held_out_sync_error_percent"].is_null();
    EXPECT_EQ(row["projected"], !measured) << row;
    EXPECT_EQ(row["speedup_projected"], !measured) << row;
    EXPECT_EQ(row["held_out_step_error_percent"].is_number(), !measured) << row;
    EXPECT_EQ(row["step_ms_low"].is_number(), !measured) << row;
    EXPECT_FALSE(measured && row["workers"] > 8) << row;
    measured_rows += measured ? 1 : 0;
    for (const char* column : ScalingColumns()) EXPECT_TRUE(row.contains(column)) << column;
    EXPECT_EQ(row.size(), ScalingColumns().size());
  }
  EXPECT_EQ(measured_rows, 3 * 4);
}

// All objects of `json` that hold a number of workers.
void CollectRows(const Json& json, std::vector<Json>* rows) {
  if (json.is_object() && json.contains("workers")) rows->push_back(json);
  if (json.is_structured()) {
    for (const Json& part : json) CollectRows(part, rows);
  }
}

TEST(ScalingReportTest, EveryNumberOfTheSummaryThatHasWorkersIsFlagged) {
  std::vector<Json> rows;
  CollectRows(ScalingSummaryJson(ReportOfThree()), &rows);
  // Amdahl 3 x 5, break-even 2 x 8, bandwidths 3 x 8 x 7, fitted 3 x 3, held out 3.
  EXPECT_EQ(rows.size(), 15u + 16 + 168 + 9 + 3);
  for (const Json& row : rows) EXPECT_EQ(row.value("projected", false), true) << row;
}

TEST(ScalingReportTest, SpeedupsOverAProjectedBaselineAreProjected) {
  const auto report = MakeScalingReport(ThreeCollectives({2, 4}), {});
  EXPECT_EQ(ScalingSummaryJson(report)["baseline"]["projected"], true);
  for (const Json& row : ScalingRowsJson(report)) EXPECT_EQ(row["speedup_projected"], true);
}

TEST(ScalingReportTest, SummaryHoldsTheModels) {
  const Json summary = ScalingSummaryJson(ReportOfThree());
  ASSERT_EQ(summary["collectives"].size(), 3u);
  const Json& dense = summary["collectives"][0];
  EXPECT_EQ(dense["collective"], "dense");
  EXPECT_EQ(dense["volume"], "2(P-1)/P");
  EXPECT_NEAR(dense["effective_mbit_s"].get<double>(), 80, 1e-6);  // 1e-4 ms a byte
  EXPECT_NEAR(dense["latency_ms"].get<double>(), 1, 1e-6);
  EXPECT_NEAR(dense["held_out_sync_error_percent"].get<double>(), 0, 1e-6);
  EXPECT_TRUE(dense["leave_one_out_sync_error_percent"].is_null());
  EXPECT_EQ(summary["collectives"][1]["volume"], "P-1");
  EXPECT_EQ(summary["points"].size(), 12u);
  EXPECT_EQ(summary["points"][0], SyncReport("dense", 1, 0, 100, 100, 0));
}

TEST(ScalingReportTest, WarnsOfWhatMisleads) {
  const auto warned = [](const std::vector<SyncPoint>& points, const std::string& fragment) {
    std::string all;
    for (const auto& warning : ScalingWarnings(MakeScalingReport(points, {}))) all += warning + ' ';
    return all.find(fragment) != std::string::npos;
  };
  EXPECT_FALSE(warned(ThreeCollectives(), "misses"));
  EXPECT_FALSE(warned(ThreeCollectives(), "computation differs"));
  EXPECT_FALSE(warned(ThreeCollectives(), "no point of one worker"));
  EXPECT_TRUE(warned(ThreeCollectives(), "beyond 64"));
  EXPECT_FALSE(warned(ThreeCollectives({2, 4, 32}), "beyond"));
  std::vector<SyncPoint> points = ThreeCollectives();
  points[3].sync_ms *= 1.5;
  EXPECT_TRUE(warned(points, "dense: the model of the other points misses 8 workers by 33%"));
  points[2].compute_ms = 150;
  EXPECT_TRUE(warned(points, "computation differs"));
  EXPECT_TRUE(warned(ThreeCollectives({2, 4}), "no point of one worker"));
}

TEST(ScalingReportTest, TheTableSaysProjected) {
  const std::string table = ScalingTable(ReportOfThree());
  EXPECT_NE(table.find("dense            8 measured"), std::string::npos) << table;
  EXPECT_NE(table.find("dense          256 projected"), std::string::npos) << table;
  EXPECT_EQ(table.find("256 measured"), std::string::npos) << table;
  EXPECT_NE(table.find("% of a step of 8 workers is exposed: after Amdahl, more workers that share "
                       "its batch are at most "),
            std::string::npos)
      << table;
}

}  // namespace
}  // namespace cddp

#include "bench/scaling_points.h"

#include <gtest/gtest.h>

#include "tests/bench/scaling_fixtures.h"
#include "trainer/data/file_bytes.h"
#include "trainer/data/temporary_folder.h"

namespace cddp {
namespace {

using Json = nlohmann::json;

const Json kReport = SyncReport("split", 4, 12.5, 112, 100, 7000);

TEST(ScalingPointsTest, OneObject) {
  const auto points = ParseSyncPoints(kReport, "f");
  ASSERT_EQ(points.size(), 1u);
  EXPECT_EQ(points[0].collective, "split");
  EXPECT_EQ(points[0].workers, 4);
  EXPECT_EQ(points[0].sync_ms, 12.5);
  EXPECT_EQ(points[0].step_ms, 112);
  EXPECT_EQ(points[0].compute_ms, 100);
  EXPECT_EQ(points[0].tx_bytes, 7000);
  EXPECT_EQ(points[0].parameters, 1'000'000);
}

TEST(ScalingPointsTest, RowsShareWhatStandsBesideThem) {
  Json first = kReport;
  first.erase("parameters");
  Json second = first;
  second["world_size"] = 8;
  second["parameters"] = 5;
  const auto points = ParseSyncPoints({{"rows", {first, second}}, {"parameters", 7}}, "f");
  ASSERT_EQ(points.size(), 2u);
  EXPECT_EQ(points[0].parameters, 7);
  EXPECT_EQ(points[1].parameters, 5);
  EXPECT_EQ(points[1].source, "f, row 2");
}

TEST(ScalingPointsTest, MissingOrWrongKeysAreNamed) {
  for (const char* key : {"collective", "world_size", "sync_ms_median", "step_ms_median",
                          "compute_ms", "tx_bytes_per_step", "parameters"}) {
    Json report = kReport;
    report.erase(key);
    ExpectRefusal([&] { ParseSyncPoints(report, "some.json"); }, StatusCode::kCorrupt,
                  {"some.json", key, "missing"});
    report[key] = Json::array();
    ExpectRefusal([&] { ParseSyncPoints(report, "some.json"); }, StatusCode::kCorrupt,
                  {"some.json", key, "array"});
  }
  const std::vector<std::pair<const char*, Json>> wrong = {
      {"world_size", 0},        {"world_size", 2.5},      {"world_size", 1e9},
      {"world_size", -1},       {"parameters", 0},        {"step_ms_median", 0},
      {"compute_ms", -1},       {"sync_ms_median", 0},    {"sync_ms_median", -3},
      {"sync_ms_median", "12"}, {"tx_bytes_per_step", 0}, {"compute_ms", nullptr}};
  for (const auto& [key, value] : wrong) {
    Json report = kReport;
    report[key] = value;
    ExpectRefusal([&] { ParseSyncPoints(report, "some.json"); }, StatusCode::kCorrupt,
                  {"some.json", key});
  }
  for (const Json& none : {Json(3), Json::array(), Json{{"rows", 3}}, Json{{"rows", Json::array()}},
                           Json{{"rows", {1}}}}) {
    ExpectRefusal([&] { ParseSyncPoints(none, "some.json"); }, StatusCode::kCorrupt, {"some.json"});
  }
}

TEST(ScalingPointsTest, OneWorkerExchangesNothing) {
  EXPECT_EQ(ParseSyncPoints(SyncReport("dense", 1, 0, 100, 100, 0), "f")[0].sync_ms, 0);
}

TEST(ScalingPointsTest, UnknownCollectiveGetsTheNearestName) {
  Json report = kReport;
  report["collective"] = "splt";
  ExpectRefusal([&] { ParseSyncPoints(report, "some.json"); }, StatusCode::kInvalidArgument,
                {"some.json", "splt", "did you mean \"split\"?"});
}

TEST(ScalingPointsTest, TheRateOfTheLinks) {
  Json report = kReport;
  EXPECT_FALSE(ParseSyncPoints(report, "f")[0].link_mbit_s);
  for (const auto& [rate, mbit_s] : std::vector<std::pair<const char*, double>>{
           {"1gbit", 1000}, {"0.5gbit", 500}, {"940mbit", 940}, {"100kbit", 0.1}}) {
    report["rate"] = rate;
    EXPECT_DOUBLE_EQ(*ParseSyncPoints(report, "f")[0].link_mbit_s, mbit_s) << rate;
  }
  report["rate"] = "none";
  EXPECT_FALSE(ParseSyncPoints(report, "f")[0].link_mbit_s);
  for (const char* rate :
       {"", "1", "gbit", "-1gbit", "0gbit", "infgbit", "1e999gbit", "1 gbit", "1gbit/s", "1tbit"}) {
    report["rate"] = rate;
    ExpectRefusal([&] { ParseSyncPoints(report, "some.json"); }, StatusCode::kInvalidArgument,
                  {"some.json", "1gbit", "\"" + std::string(rate) + "\""});
  }
  report["rate"] = 1000;
  ExpectRefusal([&] { ParseSyncPoints(report, "some.json"); }, StatusCode::kCorrupt,
                {"some.json", "rate"});
}

TEST(ScalingPointsTest, FilesThatAreNoReports) {
  const TemporaryFolder folder;
  const std::string file = folder.path() / "points.json";
  ExpectRefusal([&] { ReadSyncPoints(file); }, StatusCode::kUnavailable, {file});
  for (const char* text : {"", "{", "{\"world_size\": 1e999}", "\xff\xfe", "[[[["}) {
    WriteFileAtomically(file, text);
    ExpectRefusal([&] { ReadSyncPoints(file); }, StatusCode::kCorrupt, {file});
  }
  WriteFileAtomically(file, kReport.dump());
  EXPECT_EQ(ReadSyncPoints(file)[0].source, file);
}

TEST(ScalingPointsTest, WhatDoesNotGoTogetherIsRefused) {
  const auto refused = [](const char* key, const Json& value, const char* collective) {
    Json other = SyncReport(collective, 8, 1, 2, 1, 3);
    Json first = kReport;
    first[key] = std::string(key) == "rate" ? "1gbit" : "before";
    if (std::string(key) == "parameters") first[key] = 1'000'000;
    other[key] = value;
    std::vector<SyncPoint> points = ParseSyncPoints(first, "a.json");
    points.push_back(ParseSyncPoints(other, "b.json")[0]);
    ExpectRefusal([&] { RequireComparable(points); }, StatusCode::kInvalidArgument,
                  {key, "a.json", "b.json"});
  };
  refused("parameters", 999, "dense");
  refused("shapes", "resnet50", "dense");
  refused("rate", "10gbit", "dense");
  refused("ratio", 0.1, "split");
  refused("values", "fp32", "split");
  refused("memory", "none", "split");
}

TEST(ScalingPointsTest, DenseHasNoRatio) {
  std::vector<SyncPoint> points = Points("dense", {.ms_per_byte = 1, .bytes = 1}, {1, 2, 4});
  for (SyncPoint& point : points) point.report["ratio"] = 1;
  for (SyncPoint point : Points("split", {.ms_per_byte = 1, .bytes = 1}, {2, 4})) {
    point.report["ratio"] = 0.01;
    points.push_back(point);
  }
  RequireComparable(points);
}

TEST(ScalingPointsTest, OneNumberOfWorkersMakesNoModel) {
  const KnownModel model{.ms_per_byte = 1, .bytes = 1};
  ExpectRefusal(
      [&] {
        RequireComparable(Points("dense", model, {1, 4, 4}));
      },
      StatusCode::kInvalidArgument, {"dense", "4", "two or more"});
  ExpectRefusal(
      [&] {
        RequireComparable(Points("dense", model, {1, 1}));
      },
      StatusCode::kInvalidArgument, {"more than one worker"});
  ExpectRefusal([&] { RequireComparable({}); }, StatusCode::kInvalidArgument, {"no points"});
  RequireComparable(Points("dense", model, {2, 4}));
}

}  // namespace
}  // namespace cddp

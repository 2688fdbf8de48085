#include "trainer/report/curves.h"

#include <gtest/gtest.h>

#include "cddp/status.h"
#include "trainer/history.h"

namespace cddp {
namespace {

using Json = nlohmann::json;

Json History(int epochs) {
  Json history = Json::array();
  for (int epoch = 1; epoch <= epochs; ++epoch) {
    history.push_back(ToJson(EpochRecord{.epoch = epoch, .epoch_s = 10, .tx_bytes_per_step = 100}));
  }
  return history;
}

MetricsRecord Steps(uint64_t step, int epoch, std::optional<double> loss) {
  return {.step = step, .epoch = epoch, .loss = loss, .step_s = 0.1, .tx_bytes_per_step = 100};
}

MetricsRecord EpochMetrics(uint64_t step, int epoch) {
  return {.of_epoch = true, .step = step, .epoch = epoch, .tx_bytes_per_step = 100, .epoch_s = 10};
}

TEST(EpochCurves, HaveRunningAxes) {
  const Json curves =
      EpochCurves(History(3), {EpochMetrics(50, 1), EpochMetrics(100, 2)}, 150, "history.json");
  EXPECT_EQ(curves["epoch"], Json({1, 2, 3}));
  EXPECT_EQ(curves["seconds"], Json({10, 20, 30}));
  // 50 steps each: of the third the log says nothing, so it has its share of the run's.
  EXPECT_EQ(curves["bytes"], Json({5000, 10'000, 15'000}));
  EXPECT_FALSE(curves.contains("test_bits_per_byte"));
  EXPECT_TRUE(curves.contains("exposed_ms"));
}

TEST(EpochCurves, BytesAreUnknownWithoutSteps) {
  const Json curves = EpochCurves(History(2), {}, std::nullopt, "history.json");
  EXPECT_EQ(curves["bytes"], Json({nullptr, nullptr}));
  EXPECT_EQ(EpochCurves(History(2), {}, 10, "history.json")["bytes"], Json({500, 1000}));
}

TEST(EpochCurves, BitsPerByteAreThereWhereAllRecordsHaveThem) {
  Json history = History(2);
  history[0]["test_bits_per_byte"] = 2.5;
  EXPECT_FALSE(EpochCurves(history, {}, 10, "h").contains("test_bits_per_byte"));
  history[1]["test_bits_per_byte"] = 2.25;
  EXPECT_EQ(EpochCurves(history, {}, 10, "h")["test_bits_per_byte"], Json({2.5, 2.25}));
  history[1]["test_bits_per_byte"] = nullptr;  // as NaN is written
  EXPECT_EQ(EpochCurves(history, {}, 10, "h")["test_bits_per_byte"], Json({2.5, nullptr}));
}

TEST(EpochCurves, RoundAndKeepWhatIsNotFinite) {
  Json history = History(1);
  history[0]["train_loss"] = 0.123456789;
  history[0]["test_loss"] = nullptr;  // as NaN is written
  const Json curves = EpochCurves(history, {}, 10, "history.json");
  EXPECT_EQ(curves["train_loss"][0], 0.123457);
  EXPECT_EQ(curves["test_loss"][0], nullptr);
}

TEST(EpochCurves, NameEveryKeyThatAnotherVersionLacks) {
  Json history = History(2);
  history[1].erase("data_ms");
  history[1].erase("sent_fraction");
  try {
    EpochCurves(history, {}, 10, "run/history.json");
    FAIL();
  } catch (const StatusError& error) {
    EXPECT_EQ(error.code(), StatusCode::kCorrupt);
    EXPECT_NE(std::string(error.what()).find("run/history.json, record 2: data_ms, sent_fraction"),
              std::string::npos)
        << error.what();
  }
  EXPECT_THROW(EpochCurves(Json::object(), {}, 10, "history.json"), StatusError);
  EXPECT_THROW(EpochCurves(Json::array({"text"}), {}, 10, "history.json"), StatusError);
  history = History(1);
  history[0]["train_loss"] = "low";
  EXPECT_THROW(EpochCurves(history, {}, 10, "history.json"), StatusError);
}

TEST(StepCurve, PointsLieWhereTheirStepsEnd) {
  const Json curve = StepCurve({Steps(50, 1, 2.0), EpochMetrics(80, 1), Steps(130, 2, 1.0),
                                EpochMetrics(160, 2), Steps(210, 3, 0.5)},
                               500);
  EXPECT_EQ(curve["loss"], Json({2.0, 1.0, 0.5}));
  // The third epoch has not ended: as many steps as the second.
  EXPECT_EQ(curve["epoch"], Json({0.625, 1.625, 2.625}));
  // 50 steps of 0.1 s into epochs that took 10 s.
  EXPECT_EQ(curve["seconds"], Json({5, 15, 25}));
  EXPECT_EQ(curve["bytes"], Json({5000, 13'000, 21'000}));
  EXPECT_EQ(curve["records_per_point"], 1);
}

TEST(StepCurve, OfAResumedRunBeginsWhereItWentOn) {
  // Went on after step 120 of epochs of 100; records of its first steps and of the epoch's end.
  const std::vector<MetricsRecord> epoch = {Steps(150, 2, 1.0), Steps(200, 2, 0.75),
                                            EpochMetrics(200, 2)};
  Json curve = StepCurve(epoch, 500);
  EXPECT_EQ(curve["epoch"], Json({1.5, 2}));
  EXPECT_EQ(curve["seconds"], Json({15, 20}));
  EXPECT_EQ(curve["bytes"], Json({15'000, 20'000}));
  // With the next epoch the length is known.
  std::vector<MetricsRecord> more = epoch;
  more.insert(more.end(), {Steps(225, 3, 0.5), EpochMetrics(250, 3)});
  curve = StepCurve(more, 500);
  EXPECT_EQ(curve["epoch"], Json({1, 2, 2.5}));
  more = epoch;
  more.insert(more.end(), {Steps(250, 3, 0.5)});  // not ended
  EXPECT_EQ(StepCurve(more, 500)["epoch"], Json({1.5, 2, 2.5}));
}

TEST(StepCurve, IsThinnedByMeans) {
  std::vector<MetricsRecord> records;
  for (uint64_t i = 1; i <= 1001; ++i) records.push_back(Steps(i, 1, i % 2 == 0 ? 1.0 : 3.0));
  const Json curve = StepCurve(records, 500);
  EXPECT_EQ(curve["records_per_point"], 3);
  ASSERT_EQ(curve["loss"].size(), 334u);
  EXPECT_EQ(curve["loss"][0], 2.33333);
  EXPECT_EQ(curve["seconds"][0], 0.3);
  // The last point is there, of what is left over.
  EXPECT_EQ(curve["seconds"].back(), 100.1);
}

TEST(StepCurve, WithoutAnEndedEpochHasNoEpochs) {
  const Json curve = StepCurve({Steps(50, 1, 2.0), Steps(100, 1, std::nullopt)}, 500);
  EXPECT_EQ(curve["epoch"], Json({nullptr, nullptr}));
  EXPECT_EQ(curve["loss"], Json({2.0, nullptr}));
  EXPECT_EQ(StepCurve({}, 500), nullptr);
  EXPECT_EQ(StepCurve({EpochMetrics(10, 1)}, 500), nullptr);
}

}  // namespace
}  // namespace cddp

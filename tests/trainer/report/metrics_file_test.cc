#include "trainer/report/metrics_file.h"

#include <gtest/gtest.h>

#include "cddp/status.h"
#include "tests/trainer/report/run_folders.h"

namespace cddp {
namespace {

class MetricsFile : public testing::Test {
 protected:
  std::vector<MetricsRecord> Read(const std::string& text) {
    const auto file = folders_.path() / "metrics.jsonl";
    folders_.Write(file, text);
    return ReadMetrics(file);
  }
  std::vector<uint64_t> Steps(const std::string& text) {
    std::vector<uint64_t> steps;
    for (const MetricsRecord& record : Read(text)) steps.push_back(record.step);
    return steps;
  }
  RunFolders folders_;
};

TEST_F(MetricsFile, HoldsStepsAndEpochs) {
  const auto records = Read(StepLine(50, 1, 0.5) + EpochLine(50, 1) + "{\"kind\":\"other\"}\n");
  ASSERT_EQ(records.size(), 2u);
  EXPECT_FALSE(records[0].of_epoch);
  EXPECT_EQ(records[0].loss, 0.5);
  EXPECT_DOUBLE_EQ(records[0].step_s, 0.1);
  EXPECT_TRUE(records[1].of_epoch);
  EXPECT_EQ(records[1].epoch_s, 10);
}

TEST_F(MetricsFile, TornLastLineIsLeftOut) {
  const std::string whole = StepLine(50, 1, 0.5), torn = StepLine(100, 1, 0.4);
  EXPECT_EQ(Steps(whole + torn.substr(0, torn.size() / 2)), std::vector<uint64_t>{50});
  EXPECT_EQ(Steps(torn.substr(0, 10)), std::vector<uint64_t>{});
  EXPECT_EQ(Steps(""), std::vector<uint64_t>{});
}

TEST_F(MetricsFile, TornLineInTheMiddleIsNamed) {
  try {
    Read(StepLine(50, 1, 0.5) + "{\"kind\":\"st\n" + StepLine(100, 1, 0.5));
    FAIL();
  } catch (const StatusError& error) {
    EXPECT_EQ(error.code(), StatusCode::kCorrupt);
    EXPECT_NE(std::string(error.what()).find("metrics.jsonl"), std::string::npos) << error.what();
    EXPECT_NE(std::string(error.what()).find("line 2, column 12"), std::string::npos)
        << error.what();
  }
}

TEST_F(MetricsFile, StepsTakenAgainCountOnce) {
  // Killed after step 150, gone on from a checkpoint of step 100.
  const auto records = Read(StepLine(50, 1, 0.9) + EpochLine(100, 1) + StepLine(150, 2, 0.8) +
                            StepLine(150, 2, 0.7) + EpochLine(200, 2));
  ASSERT_EQ(records.size(), 4u);
  EXPECT_EQ(records[2].loss, 0.7);
  // From the very start.
  EXPECT_EQ(Steps(StepLine(50, 1, 0.9) + EpochLine(100, 1) + StepLine(50, 1, 0.8)),
            std::vector<uint64_t>{50});
}

TEST_F(MetricsFile, LossOfVoidStepsIsNone) {
  std::string line = StepLine(50, 1, 0.5);
  line.replace(line.find("0.5"), 3, "null");
  EXPECT_EQ(Read(line)[0].loss, std::nullopt);
}

TEST_F(MetricsFile, RecordOfAnotherVersionIsNamed) {
  try {
    Read("{\"kind\":\"step\",\"step\":1}\n");
    FAIL();
  } catch (const StatusError& error) {
    EXPECT_EQ(error.code(), StatusCode::kCorrupt);
    EXPECT_NE(std::string(error.what()).find("line 1: epoch missing"), std::string::npos)
        << error.what();
  }
}

}  // namespace
}  // namespace cddp

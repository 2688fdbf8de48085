#include "trainer/classification.h"

#include <gtest/gtest.h>

#include <cmath>

namespace cddp {
namespace {

const std::vector<std::string> kNames{"class 0", "class 1", "class 2"};

Answer Said(int truth, int predicted, double confidence, double probability) {
  return {truth, predicted, confidence, probability, -std::log(probability)};
}

// The example of scikit-learn's documentation of classification_report:
// y_true = [0, 1, 2, 2, 2], y_pred = [0, 0, 2, 2, 1].
std::vector<Answer> Example() {
  return {Said(0, 0, 0.9, 0.9), Said(1, 0, 0.6, 0.3), Said(2, 2, 0.8, 0.8), Said(2, 2, 0.7, 0.7),
          Said(2, 1, 0.5, 0.1)};
}

TEST(Classification, ScoresAreThoseOfScikitLearn) {
  const ClassificationReport report = Classify(Example(), 3);
  EXPECT_EQ(report.samples, 5);
  EXPECT_DOUBLE_EQ(report.accuracy_percent, 60);
  const auto expect = [](const ClassScore& score, double precision, double recall, double f1,
                         int64_t support) {
    EXPECT_NEAR(score.precision_fraction, precision, 1e-12);
    EXPECT_NEAR(score.recall_fraction, recall, 1e-12);
    EXPECT_NEAR(score.f1_fraction, f1, 1e-12);
    EXPECT_EQ(score.support, support);
  };
  expect(report.classes[0], 0.5, 1, 2.0 / 3, 1);
  expect(report.classes[1], 0, 0, 0, 1);
  expect(report.classes[2], 1, 2.0 / 3, 0.8, 3);
  expect(report.macro_average, 0.5, 5.0 / 9, 22.0 / 45, 5);
  expect(report.weighted_average, 0.7, 0.6, 46.0 / 75, 5);
}

// As labels of neither y_true nor y_pred in classification_report.
TEST(Classification, MacroAveragesLeaveOutClassesThatDoNotOccur) {
  const ClassificationReport three = Classify(Example(), 3), five = Classify(Example(), 5);
  EXPECT_EQ(five.classes.size(), 5u);
  EXPECT_DOUBLE_EQ(five.macro_average.precision_fraction, three.macro_average.precision_fraction);
  EXPECT_DOUBLE_EQ(five.macro_average.f1_fraction, three.macro_average.f1_fraction);
  // One that was answered though it is not there counts.
  std::vector<Answer> answers = Example();
  answers[1].predicted = 3;
  EXPECT_DOUBLE_EQ(Classify(answers, 5).macro_average.recall_fraction, (1 + 0 + 2.0 / 3 + 0) / 4);
}

TEST(Classification, ConfusionsMostFrequentFirst) {
  std::vector<Answer> answers = Example();
  answers.push_back(Said(2, 1, 0.5, 0.2));
  const ClassificationReport report = Classify(answers, 3);
  EXPECT_EQ(report.confusion_matrix,
            (std::vector<std::vector<int64_t>>{{1, 0, 0}, {1, 0, 0}, {0, 2, 2}}));
  ASSERT_EQ(report.top_confusions.size(), 2u);
  EXPECT_EQ(report.top_confusions[0].truth, 2);
  EXPECT_EQ(report.top_confusions[0].predicted, 1);
  EXPECT_EQ(report.top_confusions[0].count, 2);
  EXPECT_EQ(report.top_confusions[1].truth, 1);
}

TEST(Classification, CalibrationErrorByHand) {
  // Bins of 1/15: 0.5 is in the 8th, 0.9 in the 14th, 1 in the 15th.
  const std::vector<Answer> answers{Said(0, 0, 0.9, 0.9), Said(1, 0, 0.9, 0.1),
                                    Said(0, 0, 1.0, 1.0), Said(1, 1, 0.5, 0.5)};
  const ClassificationReport report = Classify(answers, 2);
  EXPECT_EQ(report.calibration[13].samples, 2);
  EXPECT_DOUBLE_EQ(*report.calibration[13].accuracy_fraction, 0.5);
  EXPECT_DOUBLE_EQ(*report.calibration[13].confidence_fraction, 0.9);
  EXPECT_EQ(report.calibration[14].samples, 1);
  EXPECT_EQ(report.calibration[7].samples, 1);
  EXPECT_FALSE(report.calibration[0].accuracy_fraction);
  EXPECT_NEAR(report.expected_calibration_error_fraction, 0.5 * 0.4 + 0.25 * 0 + 0.25 * 0.5, 1e-12);
}

TEST(Classification, BinsHaveTheirUpperEdge) {
  const std::vector<Answer> answers{Said(0, 0, 3.0 / 15, 0.2), Said(0, 0, 0, 0.2)};
  const ClassificationReport report = Classify(answers, 1);
  EXPECT_EQ(report.calibration[2].samples, 1);
  EXPECT_EQ(report.calibration[0].samples, 1);
}

TEST(Classification, TheWorstAreThoseOfTheLargestLoss) {
  std::vector<Answer> answers;
  for (int i = 0; i < 30; ++i) answers.push_back(Said(0, 1, 0.6, 0.5 - 0.01 * (i % 10)));
  const ClassificationReport report = Classify(answers, 2);
  ASSERT_EQ(report.worst.size(), 25u);
  EXPECT_EQ(std::vector<int64_t>(report.worst.begin(), report.worst.begin() + 4),
            (std::vector<int64_t>{9, 19, 29, 8}))
      << "equal ones in their order";
}

TEST(Classification, JsonHasNamesAndText) {
  const std::vector<Answer> answers = Example();
  const ClassificationReport report = Classify(answers, 3);
  const nlohmann::json json = ToJson(report, answers, kNames);
  EXPECT_EQ(json["top_confusions"][0]["true"], "class 1");
  EXPECT_DOUBLE_EQ(json["top_confusions"][0]["fraction"], 1.0);
  EXPECT_EQ(json["worst"][0]["index"], 4);
  EXPECT_EQ(json["worst"][0]["predicted"], "class 1");
  EXPECT_TRUE(json["calibration"][0]["accuracy_fraction"].is_null());
  const std::string text = ToText(report, kNames);
  EXPECT_NE(text.find("class 2     1.0000   0.6667   0.8000         3"), std::string::npos) << text;
  EXPECT_NE(text.find("class 2 taken for class 1: 1 of 3"), std::string::npos) << text;
}

}  // namespace
}  // namespace cddp

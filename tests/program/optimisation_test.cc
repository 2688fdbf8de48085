// Optimisers, schedules, accumulation and precision, in the program's own trainings.
#include "tests/program/program.h"

namespace cddp {
namespace {

class OptimisationTest : public ProgramTest {
 protected:
  nlohmann::json Result(std::vector<std::string> arguments,
                        const std::string& test_samples = "1000") {
    arguments.insert(arguments.end(), {"--data-dir", CDDP_DATA, "--max-test-samples", test_samples,
                                       "--json", "result.json"});
    Child child = Start(arguments);
    EXPECT_EQ(child.Wait(), 0) << child.err();
    EXPECT_EQ(child.err().find("Optimizer::"), std::string::npos) << child.err();
    return Json("result.json");
  }
};

// Residual and AdamW: 4 workers and 1% of the gradient.
TEST_F(OptimisationTest, AdamWWithCompressionKeepsUpWithDense) {
  const std::vector<std::string> dense{"bench",
                                       "accuracy",
                                       "--workers",
                                       "4",
                                       "--epochs",
                                       "2",
                                       "--lr",
                                       "0.001",
                                       "--optimizer",
                                       "adamw",
                                       "--weight-decay",
                                       "0.01",
                                       "--max-train-samples",
                                       "8000"};
  std::vector<std::string> compressed = dense;
  compressed.insert(compressed.end(), {"--compress", "--ratio", "0.01"});
  const double without = Result(dense, "0")["test_accuracy_percent"];
  const nlohmann::json with = Result(compressed, "0");
  EXPECT_EQ(with["memory"], "residual");
  EXPECT_GT(without, 93.0);
  EXPECT_GT(with["test_accuracy_percent"], without - 1.5);
}

TEST_F(OptimisationTest, EveryOptimiserLearnsOverTwoWorkers) {
  const std::vector<std::pair<const char*, const char*>> rates = {
      {"sgd", "0.05"}, {"adam", "0.001"}, {"adamw", "0.001"}, {"lars", "5"}};
  for (const auto& [optimizer, rate] : rates) {
    const nlohmann::json result =
        Result({"train", "--workers", "2", "--compress", "--collective", "gather", "--epochs", "1",
                "--max-train-samples", "6400", "--optimizer", optimizer, "--lr", rate});
    EXPECT_GT(result["test_accuracy_percent"], 70.0) << optimizer;
  }
}

// Half as many steps of twice the samples, each with the traffic of one.
TEST_F(OptimisationTest, AccumulationSavesTraffic) {
  const std::vector<std::string> plain{"train", "--workers",           "2",    "--epochs",
                                       "1",     "--max-train-samples", "1400", "--batch-size",
                                       "50"};
  std::vector<std::string> accumulated = plain;
  accumulated.insert(accumulated.end(), {"--accumulate", "4"});
  const nlohmann::json each = Result(plain), fourth = Result(accumulated);
  EXPECT_EQ(each["steps"], 14);
  EXPECT_EQ(fourth["steps"], 4);
  EXPECT_EQ(fourth["tx_bytes_per_step"], each["tx_bytes_per_step"]);
}

TEST_F(OptimisationTest, ScheduleAndScaledRateAreThoseOfTheHistory) {
  const nlohmann::json result = Result({"train",
                                        "--workers",
                                        "2",
                                        "--epochs",
                                        "3",
                                        "--max-train-samples",
                                        "640",
                                        "--lr",
                                        "0.01",
                                        "--scale-lr",
                                        "--lr-warmup-epochs",
                                        "1",
                                        "--schedule",
                                        "multistep",
                                        "--milestones",
                                        "2",
                                        "--gamma",
                                        "0.5",
                                        "--clip-grad-norm",
                                        "1",
                                        "--label-smoothing",
                                        "0.1",
                                        "--amp",
                                        "bf16"},
                                       "200");
  const nlohmann::json& history = result["history"];
  EXPECT_NEAR(history[0]["learning_rate"].get<double>(), 0.02, 1e-9);
  EXPECT_NEAR(history[1]["learning_rate"].get<double>(), 0.02, 1e-9);
  EXPECT_NEAR(history[2]["learning_rate"].get<double>(), 0.01, 1e-9);
  EXPECT_LT(history[2]["train_loss"], history[0]["train_loss"]);
}

TEST_F(OptimisationTest, UnusedParametersMayBeSearchedFor) {
  const nlohmann::json result = Result({"train", "--workers", "2", "--compress", "--epochs", "1",
                                        "--max-train-samples", "1280", "--find-unused-parameters"});
  EXPECT_EQ(result["void_steps"], 0);
}

}  // namespace
}  // namespace cddp

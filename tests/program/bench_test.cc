// `cddp bench` from outside: select and wire, the recordings they read, and accuracy.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tests/program/child.h"
#include "tests/program/documented.h"

namespace cddp {
namespace {

using std::chrono::seconds;

class BenchTest : public testing::Test {
 protected:
  Child Run(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), CDDP_PROGRAM);
    return Child(arguments, {}, folder_.path());
  }
  Child Select(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {"bench", "select"});
    return Run(arguments);
  }

  TestFolder folder_;
};

TEST_F(BenchTest, OneCaseIsOneObject) {
  Child child = Select(
      {"--elements", "200000", "--ratio", "0.01", "--threads", "1", "--steps", "3", "--json", "-"});
  ASSERT_EQ(child.Wait(), 0) << child.err();
  const auto report = nlohmann::json::parse(child.out());
  ExpectDocumented(report);
  EXPECT_EQ(report["elements"], 200000);
  EXPECT_EQ(report["ratio"], 0.01);
  EXPECT_EQ(report["threads"], 1);
  EXPECT_EQ(report["distribution"], "normal");
  EXPECT_EQ(report["memory"], "residual");
  for (const char* key :
       {"ms_median", "ratio_to_triad", "triad_ms", "triad_beside_ms", "cold_ratio_to_triad",
        "speedup_vs_pipeline", "speedup_vs_topk", "speedup_vs_nth_element"}) {
    ASSERT_TRUE(report.contains(key)) << key;
    EXPECT_GT(report[key], 0) << key;
  }
  EXPECT_GE(report["second_sweep_fraction"], 0);
  EXPECT_LE(report["second_sweep_fraction"], 1);
  EXPECT_TRUE(report["machine"].contains("processor"));
}

TEST_F(BenchTest, EveryDistributionAndMemoryAgreesWithTheOracle) {
  for (const char* distribution : {"normal", "laplace", "equal", "few", "sorted", "spike"}) {
    Child child =
        Select({"--elements", "50001", "--threads", "2", "--distribution", distribution, "--ratio",
                "0.01", "--full", "--steps", "1", "--no-peers", "--json", "report.json"});
    ASSERT_EQ(child.Wait(), 0) << child.err();
    const auto report = nlohmann::json::parse(ReadText(folder_.path() / "report.json"));
    EXPECT_EQ(report["rows"].size(), 3u);  // of the memories
    EXPECT_TRUE(report["rows"][0]["topk_ms"].is_null());
  }
}

TEST_F(BenchTest, RecordedGradientsAreSelectedFrom) {
  Child train = Run({"train", "--data-dir", CDDP_DATA, "--epochs", "1", "--max-train-samples",
                     "640", "--max-test-samples", "500", "--threads", "1", "--record-gradients",
                     "gradients.cddg", "--record-every", "4"});
  ASSERT_EQ(train.Wait(), 0) << train.err();
  // 10 steps, of which 3 are recorded, of 421,642 elements.
  const auto bytes = std::filesystem::file_size(folder_.path() / "gradients.cddg");
  EXPECT_GT(bytes, 3u * 4 * 421'642);
  EXPECT_LT(bytes, 3u * 4 * 421'642 + 3 * 10 * 64);
  Child child = Select({"--elements", "1000000", "--ratio", "0.01", "--threads", "2",
                        "--distribution", "real", "--gradients", "gradients.cddg", "--steps", "2",
                        "--no-peers", "--csv", "report.csv"});
  ASSERT_EQ(child.Wait(), 0) << child.err();
  const std::string csv = ReadText(folder_.path() / "report.csv");
  EXPECT_NE(csv.find("1000000,0.01,2,real,residual,"), std::string::npos) << csv;
  EXPECT_EQ(std::count(csv.begin(), csv.end(), '\n'), 2) << csv;

  std::filesystem::resize_file(folder_.path() / "gradients.cddg", bytes - 1);
  Child cut = Select({"--distribution", "real", "--gradients", "gradients.cddg"});
  EXPECT_EQ(cut.Wait(seconds(60)), 5) << cut.err();
  EXPECT_NE(cut.err().find("cut short"), std::string::npos) << cut.err();
}

TEST_F(BenchTest, BadInputIsRefusedByName) {
  const std::vector<std::pair<std::vector<std::string>, std::string>> inputs = {
      {{"--elements", "0"}, "--elements must be from 1 to 4294967295, got 0"},
      {{"--elements", "-1"}, "--elements"},
      {{"--elements", "4294967296"}, "--elements"},
      {{"--elements", "many"}, "--elements"},
      {{"--ratio", "0"}, "--ratio"},
      {{"--ratio", "1.5"}, "--ratio"},
      {{"--ratio", "nan"}, "--ratio"},
      {{"--threads", "0"}, "--threads"},
      {{"--steps", "0"}, "--steps"},
      {{"--seed", "-1"}, "--seed"},
      {{"--distribution", "nomal"}, "did you mean \"normal\"?"},
      {{"--memory", "residul"}, "did you mean \"residual\"?"},
      {{"--distribution", "real"}, "--gradients FILE"},
      {{"--distribution", "real", "--gradients", "none.cddg"}, "none.cddg"},
      {{"--plot", "x.png", "--elements", "1000"}, "--elements"},
      {{"--json", "/proc/nowhere/x"}, "--json"},
      {{"--csv", "/proc/nowhere/x"}, "--csv"},
      {{"--elemnts", "1"}, "did you mean --elements?"},
      {{"--device", "gpu"}, "--device is cpu, cuda or cuda:N"},
      {{"--device", "cuda", "--threads", "1"}, "leave it out with --device cuda"},
      {{"--device", "cuda:7", "--steps", "1"}, "--steps must be from 8"},
  };
  for (const auto& [arguments, message] : inputs) {
    Child child = Select(arguments);
    EXPECT_EQ(child.Wait(seconds(60)), 2) << message << "\n" << child.err();
    EXPECT_NE(child.err().find(message), std::string::npos)
        << "expected: " << message << "\ngot: " << child.err();
  }
  Child unwritable = Run({"train", "--data-dir", CDDP_DATA, "--record-gradients", "/proc/no/x"});
  EXPECT_EQ(unwritable.Wait(seconds(60)), 2);
  EXPECT_NE(unwritable.err().find("--record-gradients"), std::string::npos) << unwritable.err();
}

// What there is not, a build with CUDA or a GPU, is said; where there is both, it is measured.
TEST_F(BenchTest, OnADeviceThatIsNotThereSaysSo) {
  for (const char* what : {"select", "wire"}) {
    Child child = Run({"bench", what, "--device", "cuda:99", "--elements", "1000000"});
    EXPECT_EQ(child.Wait(), 2) << child.err();
    const bool said = child.err().find("CUDA") != std::string::npos ||
                      child.err().find("device 99") != std::string::npos;
    EXPECT_TRUE(said) << child.err();
  }
}

TEST_F(BenchTest, WireOfOneCaseIsOneObject) {
  Child child = Run({"bench", "wire", "--elements", "500000", "--ratio", "0.01", "--values", "int4",
                     "--indices", "rice", "--steps", "2", "--json", "-"});
  ASSERT_EQ(child.Wait(), 0) << child.err();
  const auto report = nlohmann::json::parse(child.out());
  ExpectDocumented(report);
  EXPECT_EQ(report["elements"], 500000);
  EXPECT_EQ(report["entries"], 5000);
  EXPECT_EQ(report["indices"], "rice");
  EXPECT_EQ(report["values"], "int4");
  EXPECT_LE(report["index_bits"], 8.3);
  EXPECT_NEAR(report["index_entropy_bits"].get<double>(), 8.08, 0.01);
  EXPECT_NEAR(report["value_bits"].get<double>(), 4.13, 0.02);
  EXPECT_NEAR(report["bytes_total"].get<double>(), 5000 * 12.27 / 8, 200);
  EXPECT_GE(report["reduction_vs_dense"], 250);
  EXPECT_GT(report["encode_mentries_s"], 0);
  EXPECT_GT(report["decode_mentries_s"], 0);
  EXPECT_GT(report["value_rel_error"], 0);
  EXPECT_LT(report["value_rel_error"], 0.1);
}

TEST_F(BenchTest, WireOfRecordedGradients) {
  Child train = Run({"train", "--data-dir", CDDP_DATA, "--epochs", "1", "--max-train-samples",
                     "640", "--max-test-samples", "500", "--threads", "1", "--record-gradients",
                     "gradients.cddg", "--record-every", "4"});
  ASSERT_EQ(train.Wait(), 0) << train.err();
  Child child =
      Run({"bench", "wire", "--set", "real", "--gradients", "gradients.cddg", "--ratio", "0.01",
           "--values", "fp32", "--steps", "1", "--json", "-", "--csv", "wire.csv"});
  ASSERT_EQ(child.Wait(), 0) << child.err();
  const auto report = nlohmann::json::parse(child.out());
  EXPECT_EQ(report["elements"], 421'642);
  EXPECT_EQ(report["value_rel_error"], 0);
  EXPECT_LE(report["index_bits"].get<double>(), report["index_entropy_bits"].get<double>() + 0.3);
  const std::string csv = ReadText(folder_.path() / "wire.csv");
  EXPECT_NE(csv.find("real,421642,0.01,"), std::string::npos) << csv;
}

TEST_F(BenchTest, BadInputOfWireIsRefusedByName) {
  const std::vector<std::pair<std::vector<std::string>, std::string>> inputs = {
      {{"--elements", "0"}, "--elements must be from 1 to 4294967295, got 0"},
      {{"--ratio", "2"}, "--ratio"},
      {{"--values", "int5"}, "known: fp32, bf16"},
      {{"--indices", "rise"}, "did you mean \"rice\"?"},
      {{"--set", "unform"}, "did you mean \"uniform\"?"},
      {{"--set", "real"}, "--gradients FILE"},
      {{"--set", "real", "--gradients", "x", "--elements", "5"}, "leave out --elements"},
      {{"--steps", "0"}, "--steps"},
      {{"--csv", "/proc/nowhere/x"}, "--csv"},
  };
  for (const auto& [arguments, message] : inputs) {
    std::vector<std::string> all = {"bench", "wire"};
    all.insert(all.end(), arguments.begin(), arguments.end());
    Child child = Run(all);
    EXPECT_EQ(child.Wait(seconds(60)), 2) << message << "\n" << child.err();
    EXPECT_NE(child.err().find(message), std::string::npos)
        << "expected: " << message << "\ngot: " << child.err();
  }
}

// As `cddp scaling` measures them, with the same flags.
TEST_F(BenchTest, SyncOfDenseGradientsTakesNoNoticeOfCompression) {
  for (const char* collective : {"dense", "split"}) {
    Child child = Run({"bench", "sync", "--workers", "2", "--shapes", "simple_cnn", "--steps", "2",
                       "--warmup", "2", "--ratio", "0.001", "--memory", "dgc", "--collective",
                       collective, "--json", "-"});
    ASSERT_EQ(child.Wait(), 0) << child.err();
    const auto report = nlohmann::json::parse(child.out());
    ExpectDocumented(report);
    const bool dense = collective == std::string("dense");
    EXPECT_EQ(report["ratio"], dense ? 1.0 : 0.001);
    EXPECT_EQ(report["memory"], dense ? "none" : "dgc");
    EXPECT_EQ(report["settled"], true);
    EXPECT_TRUE(report["nic_tx_bytes_per_step"].is_null());
    EXPECT_GT(report["tx_bytes_per_step"], dense ? 1'600'000 : 1'000);
  }
}

TEST_F(BenchTest, AccuracyIsRepeatable) {
  std::string first;
  for (int run = 0; run < 2; ++run) {
    Child child = Run({"bench",
                       "accuracy",
                       "--data-dir",
                       CDDP_DATA,
                       "--workers",
                       "3",
                       "--max-train-samples",
                       "960",
                       "--max-test-samples",
                       "1000",
                       "--epochs",
                       "2",
                       "--threads",
                       "1",
                       "--compress",
                       "--values",
                       "int4",
                       "--weight-decay",
                       "0.001",
                       "--json",
                       "-"});
    ASSERT_EQ(child.Wait(), 0) << child.err();
    auto report = nlohmann::json::parse(child.out());
    for (const auto& [key, value] : report["history"][0].items()) ExpectDocumented({{key, value}});
    EXPECT_TRUE(report["machine"].contains("revision"));
    EXPECT_EQ(report["steps"], 40);
    EXPECT_EQ(report["history"].size(), 2u);
    EXPECT_GT(report["test_accuracy_percent"], 50);
    EXPECT_GT(report["frame_bytes_per_step"], 5'000);
    EXPECT_LT(report["frame_bytes_per_step"], 10'000);
    report.erase("seconds");
    if (run == 0) first = report.dump();
    EXPECT_EQ(report.dump(), first);
  }
}

}  // namespace
}  // namespace cddp

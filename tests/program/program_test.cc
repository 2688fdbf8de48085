// The program from outside: what it writes, and how its processes live and end.
#include "tests/program/program.h"

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <random>
#include <set>
#include <sstream>

#include "tests/program/documented.h"

namespace cddp {
namespace {

TEST_F(ProgramTest, HelpTeaches) {
  Child help = Start({"train", "--help"});
  EXPECT_EQ(help.Wait(), 0);
  for (const char* flag : {"--ratio", "--workers", "--timeout", "--bucket-mb", "torchrun"}) {
    EXPECT_NE(help.out().find(flag), std::string::npos) << flag;
  }
}

TEST_F(ProgramTest, OneWorkerWithCompressionSaysThatNothingIsSent) {
  Child child = Start(Train({"--workers", "1", "--compress", "--epochs", "1", "--max-train-samples",
                             "640", "--json", "result.json"}));
  EXPECT_EQ(child.Wait(), 0) << child.err();
  EXPECT_NE(child.err().find("nothing is sent"), std::string::npos) << child.err();
  EXPECT_EQ(Json("result.json")["tx_bytes_per_step"], 0);
}

TEST_F(ProgramTest, ComparisonOfOneWorkerHasNoReduction) {
  Child child = Start({"compare", "--data-dir", CDDP_DATA, "--epochs", "1", "--max-train-samples",
                       "640", "--max-test-samples", "500", "--json", "result.json"});
  EXPECT_EQ(child.Wait(), 0) << child.err();
  EXPECT_NE(child.err().find("nothing is sent"), std::string::npos) << child.err();
  EXPECT_EQ(child.out().find("times fewer"), std::string::npos) << child.out();
  EXPECT_TRUE(Json("result.json").at("tx_bytes_reduction").is_null());
}

TEST_F(ProgramTest, JsonHistoryAndConfigurationAreWritten) {
  Child child = Start(Train({"--workers", "2", "--compress", "--collective", "gather", "--ratio",
                             "0.02", "--epochs", "2", "--max-train-samples", "1300",
                             "--max-test-samples", "3", "--json", "result.json"}));
  ASSERT_EQ(child.Wait(), 0) << child.err();
  const nlohmann::json result = Json("result.json");
  ExpectDocumented(result);
  for (const char* key :
       {"test_accuracy_percent", "epochs", "world_size", "tx_bytes_per_step", "rx_bytes_per_step",
        "images_per_s", "step_ms_median", "compress", "ratio", "parameters"}) {
    EXPECT_TRUE(result.contains(key)) << key;
  }
  EXPECT_EQ(result["parameters"], 421642);
  EXPECT_EQ(result["world_size"], 2);
  EXPECT_EQ(result["steps"], 22);
  EXPECT_EQ(result["ratio"], 0.02);
  // Of three images some thirds are right.
  const double thirds = result["test_accuracy_percent"].get<double>() * 3 / 100;
  EXPECT_NEAR(thirds, std::round(thirds), 1e-9);
  ASSERT_EQ(Runs().size(), 1u);
  const std::filesystem::path run = Runs()[0];
  const auto config = nlohmann::json::parse(ReadText(run / "config.json"));
  EXPECT_EQ(config["ratio"], 0.02);
  EXPECT_EQ(config["world_size"], 2);
  EXPECT_GE(config["threads"], 1);  // 0, the default, is no number of threads
  EXPECT_TRUE(config["versions"].contains("libtorch"));
  EXPECT_EQ(nlohmann::json::parse(ReadText(run / "summary.json")), result);
  const std::string csv = ReadText(run / "history.csv");
  EXPECT_EQ(std::count(csv.begin(), csv.end(), '\n'), 3);  // a header and two epochs
}

TEST_F(ProgramTest, SameSeedSameParameters) {
  std::set<std::string> hashes;
  for (int run = 0; run < 5; ++run) {
    Child child =
        Start(Train({"--workers", "2", "--compress", "--collective", "gather", "--epochs", "1",
                     "--seed", "5", "--max-train-samples", "640", "--json", "result.json"}));
    ASSERT_EQ(child.Wait(), 0) << child.err();
    hashes.insert(Json("result.json")["parameters_xxh3"]);
  }
  EXPECT_EQ(hashes.size(), 1u);
}

// What auto has tried and chosen is kept, and repeated by --plan.
TEST_F(ProgramTest, PlanOfAutoRepeats) {
  const std::vector<std::string> training =
      Train({"--workers", "2", "--compress", "--epochs", "1", "--seed", "5", "--max-train-samples",
             "4000", "--json", "result.json"});
  Child first = Start(training);
  ASSERT_EQ(first.Wait(), 0) << first.err();
  const auto result = Json("result.json");
  EXPECT_EQ(result["collective"], "auto");
  const auto plan_file = Runs().at(0) / "plan.json";
  const auto plan = nlohmann::json::parse(ReadText(plan_file));
  EXPECT_EQ(plan["world_size"], 2);
  EXPECT_GE(plan["changes"].size(), 1u);
  EXPECT_NE(first.err().find("predicted ms"), std::string::npos) << "the table is logged";

  std::vector<std::string> repetition = training;
  repetition.insert(repetition.end(), {"--plan", plan_file.string(), "--log-dir", "repeated"});
  Child second = Start(repetition);
  ASSERT_EQ(second.Wait(), 0) << second.err();
  EXPECT_EQ(Json("result.json")["parameters_xxh3"], result["parameters_xxh3"]);

  repetition.insert(repetition.end(), {"--workers", "3"});  // the last one counts
  Child other = Start(repetition);
  EXPECT_EQ(other.Wait(), 2);
  EXPECT_NE(other.err().find("made for 2 workers"), std::string::npos) << other.err();
}

// Three workers, so that an owner's share is not a half; replicas are compared by the
// program itself after each epoch.
TEST_F(ProgramTest, SplitTrainsWithQuantisedValues) {
  Child child = Start(Train({"--workers", "3", "--compress", "--collective", "split", "--epochs",
                             "1", "--max-train-samples", "3000", "--json", "result.json"}));
  ASSERT_EQ(child.Wait(), 0) << child.err();
  const auto result = Json("result.json");
  EXPECT_EQ(result["collective"], "split");
  // 2 (P-1)/P of 4,735 entries of 12 bits, and six headers.
  EXPECT_GT(result["tx_bytes_per_step"], 8'000);
  EXPECT_LT(result["tx_bytes_per_step"], 11'000);
}

// A write to a killed one's socket, which Gloo does with writev, must not end them.
TEST_F(ProgramTest, WorkersIgnoreBrokenPipes) {
  const Child first = StartWorker(0, 2, {"--epochs", "50"});
  const Child second = StartWorker(1, 2, {"--epochs", "50"});
  WaitForTraining();
  for (const Child* worker : {&first, &second}) {
    std::istringstream status(ReadText("/proc/" + std::to_string(worker->pid()) + "/status"));
    uint64_t ignored = 0;
    for (std::string line; std::getline(status, line);) {
      if (line.starts_with("SigIgn:")) ignored = std::stoull(line.substr(7), nullptr, 16);
    }
    EXPECT_NE(ignored & (1u << (SIGPIPE - 1)), 0u);
  }
}

TEST_F(ProgramTest, KilledWorkerEndsTheOthersNamed) {
  for (int victim : {0, 1, 2}) {
    std::filesystem::remove_all(folder_.path() / "runs");
    std::filesystem::remove_all(folder_.path() / "meeting");
    std::vector<Child> workers;
    for (int rank = 0; rank < 3; ++rank) {
      workers.push_back(StartWorker(rank, 3, {"--compress", "--epochs", "50"}));
    }
    WaitForTraining();
    std::this_thread::sleep_for(std::chrono::microseconds(std::random_device()() % 500'000));
    workers[static_cast<size_t>(victim)].Signal(SIGKILL);
    const auto killed = std::chrono::steady_clock::now();
    for (int rank = 0; rank < 3; ++rank) {
      if (rank == victim) continue;
      Child& worker = workers[static_cast<size_t>(rank)];
      EXPECT_EQ(worker.Wait(seconds(20)), 3) << worker.err();
      EXPECT_NE(worker.err().find("rank " + std::to_string(victim) + " was lost"),
                std::string::npos)
          << worker.err();
    }
    EXPECT_LT(std::chrono::steady_clock::now() - killed, seconds(2));
  }
}

// Gloo itself would wait for half an hour.
TEST_F(ProgramTest, StoppedWorkerEndsTheOthersNamed) {
  for (const bool compress : {false, true}) {
    std::filesystem::remove_all(folder_.path() / "runs");
    std::filesystem::remove_all(folder_.path() / "meeting");
    std::vector<std::string> options{"--epochs", "50", "--timeout", "2"};
    if (compress) options.push_back("--compress");
    Child first = StartWorker(0, 2, options), second = StartWorker(1, 2, options);
    WaitForTraining();
    second.Signal(SIGSTOP);
    const auto stopped = std::chrono::steady_clock::now();
    EXPECT_EQ(first.Wait(seconds(20)), 3) << first.err();
    EXPECT_LT(std::chrono::steady_clock::now() - stopped, seconds(2 + 1));
    EXPECT_NE(first.err().find("rank 1 was lost"), std::string::npos) << first.err();
  }
}

TEST_F(ProgramTest, LauncherReportsAKilledWorker) {
  Child launcher = Start(Train({"--workers", "2", "--epochs", "50"}));
  WaitForTraining();
  // The second child of the launcher is rank 1.
  std::ifstream children("/proc/" + std::to_string(launcher.pid()) + "/task/" +
                         std::to_string(launcher.pid()) + "/children");
  pid_t first = 0, second = 0;
  ASSERT_TRUE(children >> first >> second);
  kill(second, SIGKILL);
  EXPECT_EQ(launcher.Wait(seconds(20)), 3) << launcher.err();
  EXPECT_NE(launcher.err().find("rank 1 was lost"), std::string::npos) << launcher.err();
}

TEST_F(ProgramTest, InterruptStopsAllWorkers) {
  Child launcher = Start(Train({"--workers", "2", "--epochs", "50"}));
  WaitForTraining();
  launcher.Signal(SIGINT);
  EXPECT_EQ(launcher.Wait(seconds(20)), 130) << launcher.err();
}

TEST_F(ProgramTest, ValidatePasses) {
  const auto start = std::chrono::steady_clock::now();
  Child child = Start({"validate"});
  EXPECT_EQ(child.Wait(), 0) << child.out() << child.err();
  EXPECT_LT(std::chrono::steady_clock::now() - start, seconds(30));
  const std::string out = child.out();
  EXPECT_EQ(std::count(out.begin(), out.end(), '\n'), 5) << out;
}

TEST_F(ProgramTest, AFullStandardOutputIsNoSuccess) {
  Child child({"/bin/sh", "-c", CDDP_PROGRAM " info --json - > /dev/full"}, {}, folder_.path());
  EXPECT_EQ(child.Wait(), 2);
  EXPECT_NE(child.err().find("standard output"), std::string::npos) << child.err();
}

TEST_F(ProgramTest, InfoNamesVersionsAndDevices) {
  Child child = Start({"info", "--json", "-"});
  EXPECT_EQ(child.Wait(), 0) << child.err();
  const auto info = nlohmann::json::parse(child.out());
  ExpectDocumented(info);
  for (const char* key : {"cddp", "revision", "libtorch", "gloo", "highway", "processor",
                          "cpu_features", "simd", "devices", "backends"}) {
    EXPECT_TRUE(info.contains(key)) << key;
  }
  EXPECT_TRUE(info["devices"].is_array());
  EXPECT_TRUE(info["cpu_features"].is_array());
  if (info["simd"] == "AVX2" || info["simd"] == "AVX3") {
    const std::vector<std::string> features = info["cpu_features"];
    EXPECT_NE(std::ranges::find(features, "avx2"), features.end()) << info["cpu_features"];
  }
}

}  // namespace
}  // namespace cddp

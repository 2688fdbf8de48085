// The program from outside: exit codes, messages, files, processes.
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <thread>

#include "tests/program/child.h"

namespace cddp {
namespace {

using std::chrono::seconds;

class ProgramTest : public testing::Test {
 protected:
  Child Start(std::vector<std::string> arguments, const Child::Environment& environment = {}) {
    arguments.insert(arguments.begin(), CDDP_PROGRAM);
    return Child(arguments, environment, folder_.path());
  }

  // A training run of MNIST with the data of the build.
  static std::vector<std::string> Train(const std::vector<std::string>& more) {
    std::vector<std::string> arguments{"train", "--data-dir", CDDP_DATA};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return arguments;
  }

  // One of `world` workers that meet through a file.
  Child StartWorker(int rank, int world, std::vector<std::string> more) {
    more.insert(more.end(), {"--rendezvous", "file:" + (folder_.path() / "meeting").string(),
                             "--threads", "1"});
    return Start(Train(more), {{"RANK", std::to_string(rank)},
                               {"WORLD_SIZE", std::to_string(world)},
                               {"LOCAL_WORLD_SIZE", std::to_string(world)}});
  }

  nlohmann::json Json(const std::string& name) const {
    return nlohmann::json::parse(ReadText(folder_.path() / name));
  }

  // The folders of the runs so far.
  std::vector<std::filesystem::path> Runs() const {
    std::vector<std::filesystem::path> runs;
    std::error_code none_yet;
    for (const auto& entry :
         std::filesystem::directory_iterator(folder_.path() / "runs", none_yet)) {
      if (entry.is_directory()) runs.push_back(entry.path());
    }
    return runs;
  }

  // Waits until rank 0 has made its run folder: all workers are connected then.
  void WaitForTraining() const {
    const auto deadline = std::chrono::steady_clock::now() + seconds(60);
    while (Runs().empty() && std::chrono::steady_clock::now() < deadline) {
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    std::this_thread::sleep_for(seconds(1));
  }

  TestFolder folder_;
};

TEST_F(ProgramTest, HelpTeaches) {
  Child help = Start({"train", "--help"});
  EXPECT_EQ(help.Wait(), 0);
  for (const char* flag : {"--ratio", "--workers", "--timeout", "--bucket-mb", "torchrun"}) {
    EXPECT_NE(help.out().find(flag), std::string::npos) << flag;
  }
}

struct BadInput {
  std::vector<std::string> arguments;
  std::string message;
  int code = 2;
};

TEST_F(ProgramTest, BadArgumentsAreRefusedByName) {
  const std::vector<BadInput> inputs = {
      {{"train", "--ratoi", "0.1"}, "did you mean --ratio?"},
      {{"tarin"}, "did you mean train?"},
      {{"train", "--model", "simple_cn"}, "did you mean \"simple_cnn\"?"},
      {{"train", "--dataset", "mnits"}, "did you mean \"mnist\"?"},
      {{"data", "fetch", "mnits"}, "did you mean \"mnist\"?"},
      {{"data", "verify", "fashon-mnist"}, "did you mean \"fashion-mnist\"?"},
      {{"train", "--ratio", "0"}, "--ratio"},
      {{"train", "--ratio", "-0.1"}, "--ratio"},
      {{"train", "--ratio", "1.5"}, "--ratio"},
      {{"train", "--ratio", "nan"}, "--ratio"},
      {{"train", "--batch-size", "0"}, "--batch-size"},
      {{"train", "--data-dir", CDDP_DATA, "--batch-size", "60001"}, "--batch-size"},
      {{"train", "--data-dir", CDDP_DATA, "--workers", "2", "--batch-size", "30001"},
       "60000 samples over 2 workers are 30000 each"},
      {{"compare", "--data-dir", CDDP_DATA, "--batch-size", "60001"}, "--batch-size"},
      {{"train", "--seed", "-1"}, "--seed"},
      {{"train", "--max-train-samples", "-1"}, "--max-train-samples"},
      {{"train", "--epochs", "0"}, "--epochs"},
      {{"train", "--epochs", "three"}, "--epochs"},
      {{"train", "--lr", "nan"}, "--lr"},
      {{"train", "--workers", "0"}, "--workers"},
      {{"train", "--schedule", "cosin"}, "did you mean \"cosine\"?"},
      {{"train", "--collective", "gather"}, "--compress"},
      {{"train", "--backend", "nccl"}, "gloo"},
      {{"train", "--device", "cuda"}, "cpu"},
      {{"train", "--data-dir", CDDP_DATA, "--log-dir", "/proc/nowhere"}, "--log-dir"},
      {{"train", "--data-dir", "/proc/nowhere"}, "/proc/nowhere"},
  };
  for (const BadInput& input : inputs) {
    Child child = Start(input.arguments);
    EXPECT_EQ(child.Wait(seconds(60)), input.code) << child.err();
    EXPECT_NE(child.err().find(input.message), std::string::npos)
        << "expected: " << input.message << "\ngot: " << child.err();
    EXPECT_EQ(child.err().find("exited with code"), std::string::npos) << child.err();
    EXPECT_TRUE(Runs().empty()) << input.message;
  }
}

TEST_F(ProgramTest, BadLaunchEnvironmentIsRefusedByName) {
  const std::vector<std::pair<Child::Environment, std::string>> inputs = {
      {{{"RANK", "0"}}, "WORLD_SIZE"},
      {{{"WORLD_SIZE", "2"}}, "RANK"},
      {{{"RANK", "2"}, {"WORLD_SIZE", "2"}}, "RANK"},
      {{{"RANK", "-1"}, {"WORLD_SIZE", "2"}}, "RANK"},
      {{{"RANK", "0"}, {"WORLD_SIZE", "0"}}, "WORLD_SIZE"},
      {{{"RANK", "0"}, {"WORLD_SIZE", "many"}}, "WORLD_SIZE"},
      {{{"RANK", "0"}, {"WORLD_SIZE", "99999999999"}}, "WORLD_SIZE"},
      {{{"RANK", "0"}, {"WORLD_SIZE", "2"}, {"MASTER_PORT", "70000"}}, "MASTER_PORT"},
  };
  for (const auto& [environment, message] : inputs) {
    Child child = Start(Train({}), environment);
    EXPECT_EQ(child.Wait(seconds(30)), 2) << child.err();
    EXPECT_NE(child.err().find(message), std::string::npos) << child.err();
  }
}

TEST_F(ProgramTest, WorkersFlagUnderAnotherLauncherIsRefused) {
  Child child = Start(Train({"--workers", "2"}), {{"RANK", "0"}, {"WORLD_SIZE", "2"}});
  EXPECT_EQ(child.Wait(seconds(30)), 2);
  EXPECT_NE(child.err().find("--workers"), std::string::npos) << child.err();
}

TEST_F(ProgramTest, RendezvousByFileNeedsARank) {
  Child child = Start(Train({"--workers", "2", "--rendezvous", "file:meeting"}));
  EXPECT_EQ(child.Wait(seconds(30)), 2) << child.err();
  EXPECT_NE(child.err().find("RANK is not set"), std::string::npos) << child.err();
  EXPECT_TRUE(Runs().empty());
}

TEST_F(ProgramTest, WorkersFlagWithRendezvousSpelledOut) {
  Child child = Start(Train({"--workers", "2", "--rendezvous", "env", "--epochs", "1",
                             "--max-train-samples", "640", "--json", "result.json"}));
  ASSERT_EQ(child.Wait(), 0) << child.err();
  EXPECT_EQ(Json("result.json")["world_size"], 2);
}

TEST_F(ProgramTest, PortInUseIsNamed) {
  const int listener = socket(AF_INET6, SOCK_STREAM, 0);
  sockaddr_in6 address{};
  address.sin6_family = AF_INET6;
  address.sin6_addr = in6addr_any;
  socklen_t size = sizeof(address);
  ASSERT_EQ(bind(listener, reinterpret_cast<sockaddr*>(&address), size), 0);
  ASSERT_EQ(listen(listener, 1), 0);
  ASSERT_EQ(getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size), 0);
  const std::string port = std::to_string(ntohs(address.sin6_port));
  Child child =
      Start(Train({"--timeout", "5"}), {{"RANK", "0"}, {"WORLD_SIZE", "2"}, {"MASTER_PORT", port}});
  EXPECT_EQ(child.Wait(seconds(30)), 2) << child.err();
  EXPECT_NE(child.err().find(port), std::string::npos) << child.err();
  close(listener);
}

TEST_F(ProgramTest, DamagedDataFilesEndWithCodeFive) {
  const auto data = folder_.path() / "data" / "mnist";
  std::filesystem::create_directories(data);
  for (const auto& entry : std::filesystem::directory_iterator(std::string(CDDP_DATA) + "/mnist")) {
    std::filesystem::copy(entry.path(), data / entry.path().filename());
  }
  const auto labels = data / "train-labels-idx1-ubyte";
  {
    std::fstream file(labels, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(5000);
    file.put('\x0b');
  }
  Child altered = Start({"train", "--data-dir", "data"});
  EXPECT_EQ(altered.Wait(seconds(60)), 5) << altered.err();
  EXPECT_NE(altered.err().find("train-labels-idx1-ubyte"), std::string::npos) << altered.err();
  std::filesystem::resize_file(labels, 100);
  Child truncated = Start({"train", "--data-dir", "data"});
  EXPECT_EQ(truncated.Wait(seconds(60)), 5) << truncated.err();
  Child verify = Start({"data", "verify", "mnist", "--data-dir", "data"});
  EXPECT_EQ(verify.Wait(seconds(60)), 5);
  EXPECT_NE(verify.out().find("train-labels-idx1-ubyte"), std::string::npos) << verify.out();
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
                       "640", "--json", "result.json"});
  EXPECT_EQ(child.Wait(), 0) << child.err();
  EXPECT_NE(child.err().find("nothing is sent"), std::string::npos) << child.err();
  EXPECT_NE(child.out().find(" -\n"), std::string::npos) << child.out();
  EXPECT_TRUE(Json("result.json").at("tx_bytes_reduction").is_null());
}

TEST_F(ProgramTest, JsonHistoryAndConfigurationAreWritten) {
  Child child = Start(Train({"--workers", "2", "--compress", "--ratio", "0.02", "--epochs", "2",
                             "--max-train-samples", "1300", "--json", "result.json"}));
  ASSERT_EQ(child.Wait(), 0) << child.err();
  const nlohmann::json result = Json("result.json");
  for (const char* key :
       {"test_accuracy_percent", "epochs", "world_size", "tx_bytes_per_step", "rx_bytes_per_step",
        "images_per_s", "step_ms_median", "compress", "ratio", "parameters"}) {
    EXPECT_TRUE(result.contains(key)) << key;
  }
  EXPECT_EQ(result["parameters"], 421642);
  EXPECT_EQ(result["world_size"], 2);
  EXPECT_EQ(result["steps"], 22);
  EXPECT_EQ(result["ratio"], 0.02);
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

// What cannot be written is told before the training, by the launcher too.
TEST_F(ProgramTest, UnwritableOutputsAreToldFirst) {
  for (const char* command : {"train", "compare"}) {
    for (const char* workers : {"1", "2"}) {
      for (const auto& [flag, place] :
           std::vector<std::pair<std::string, std::string>>{{"--json", "nowhere/result.json"},
                                                            {"--json", "/proc/result.json"},
                                                            {"--log-dir", "/proc/nowhere"}}) {
        Child child = Start({command, "--data-dir", CDDP_DATA, "--workers", workers, flag, place});
        EXPECT_EQ(child.Wait(seconds(60)), 2) << child.err();
        EXPECT_NE(child.err().find(flag), std::string::npos) << child.err();
        EXPECT_EQ(child.err().find("exited with code"), std::string::npos) << child.err();
        EXPECT_TRUE(Runs().empty());
      }
    }
  }
  Child validate = Start({"validate", "--json", "nowhere/checks.json"});
  EXPECT_EQ(validate.Wait(seconds(60)), 2) << validate.err();
  EXPECT_EQ(validate.out(), "");
}

TEST_F(ProgramTest, SameSeedSameParameters) {
  std::vector<std::string> hashes;
  for (int run = 0; run < 2; ++run) {
    Child child = Start(Train({"--workers", "2", "--compress", "--epochs", "1", "--seed", "5",
                               "--max-train-samples", "2000", "--json", "result.json"}));
    ASSERT_EQ(child.Wait(), 0) << child.err();
    hashes.push_back(Json("result.json")["parameters_xxh3"]);
  }
  EXPECT_EQ(hashes[0], hashes[1]);
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

TEST_F(ProgramTest, DifferentFlagsAreRefusedAtOnce) {
  const std::vector<std::pair<std::string, std::string>> fields = {
      {"--ratio", "0.02"}, {"--seed", "9"}, {"--bucket-mb", "1"}, {"--batch-size", "32"}};
  for (const auto& [flag, value] : fields) {
    std::filesystem::remove_all(folder_.path() / "meeting");
    const auto start = std::chrono::steady_clock::now();
    Child first = StartWorker(0, 3, {"--compress"});
    Child second = StartWorker(1, 3, {"--compress"});
    Child other = StartWorker(2, 3, {"--compress", flag, value});
    for (Child* worker : {&first, &second, &other}) {
      EXPECT_EQ(worker->Wait(seconds(20)), 2) << worker->err();
      EXPECT_NE(worker->err().find(flag), std::string::npos) << worker->err();
    }
    EXPECT_LT(std::chrono::steady_clock::now() - start, seconds(5));
  }
}

// Their options may well be the same.
TEST_F(ProgramTest, DifferentCommandsAreRefusedAtOnce) {
  std::vector<Child> workers;
  for (const char* rank : {"0", "1"}) {
    std::vector<std::string> arguments{"compare"};
    if (*rank == '0') arguments = {"train", "--compress"};
    arguments.insert(arguments.end(), {"--data-dir", CDDP_DATA, "--threads", "1", "--rendezvous",
                                       "file:" + (folder_.path() / "meeting").string()});
    workers.push_back(Start(arguments, {{"RANK", rank}, {"WORLD_SIZE", "2"}}));
  }
  for (Child& worker : workers) {
    EXPECT_EQ(worker.Wait(seconds(20)), 2) << worker.err();
    EXPECT_NE(worker.err().find("command: "), std::string::npos) << worker.err();
    EXPECT_EQ(worker.err().find("--"), std::string::npos) << worker.err();
  }
}

TEST_F(ProgramTest, DivergedTrainingEndsWithCodeFour) {
  Child child = Start(Train({"--workers", "2", "--compress", "--epochs", "2", "--lr", "1e6"}));
  EXPECT_EQ(child.Wait(), 4) << child.err();
  EXPECT_NE(child.err().find("diverged"), std::string::npos) << child.err();
}

// Too few steps for 20 void ones in a row.
TEST_F(ProgramTest, NonFiniteTestLossEndsWithCodeFour) {
  Child child = Start(Train({"--epochs", "1", "--lr", "1e6", "--max-train-samples", "640"}));
  EXPECT_EQ(child.Wait(), 4) << child.err();
  EXPECT_NE(child.err().find("the test loss is not finite"), std::string::npos) << child.err();
  ASSERT_EQ(Runs().size(), 1u);
  const auto summary = nlohmann::json::parse(ReadText(Runs()[0] / "summary.json"));
  EXPECT_GT(summary["void_steps"], 0);
  // Null when a void step's loss counts.
  EXPECT_TRUE(summary["history"][0]["train_loss"].is_number()) << summary;
}

TEST_F(ProgramTest, ValidatePasses) {
  const auto start = std::chrono::steady_clock::now();
  Child child = Start({"validate"});
  EXPECT_EQ(child.Wait(), 0) << child.out() << child.err();
  EXPECT_LT(std::chrono::steady_clock::now() - start, seconds(30));
  const std::string out = child.out();
  EXPECT_EQ(std::count(out.begin(), out.end(), '\n'), 5) << out;
}

TEST_F(ProgramTest, InfoNamesVersionsAndDevices) {
  Child child = Start({"info", "--json", "-"});
  EXPECT_EQ(child.Wait(), 0) << child.err();
  const auto info = nlohmann::json::parse(child.out());
  for (const char* key : {"cddp", "libtorch", "gloo", "highway", "processor", "cpu_features",
                          "simd", "devices", "backends"}) {
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

// The program from outside: what it refuses, how it says so, and with which code.
#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include <fstream>

#include "tests/program/program.h"

namespace cddp {
namespace {

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
      {{"train", "--stem", "imagenet"}, "--stem is of --model resnet18, resnet50"},
      {{"train", "--model", "resnet8", "--layers", "2"}, "--layers is of --model transformer"},
      {{"train", "--model", "transformer", "--heads", "3"},
       "--width must be a multiple of --heads"},
      {{"train", "--model", "transformer", "--context", "0"}, "--context"},
      {{"train", "--model", "transformer"}, "learns from text"},
      {{"train", "--dataset", "mnits"}, "did you mean \"mnist\"?"},
      {{"train", "--dataset", "cifar"}, "did you mean \"cifar10\"?"},
      {{"train", "--augment", "crop"}, "crop-flip"},
      {{"train", "--text-file", "novel.txt"}, "add --dataset text"},
      {{"train", "--dataset", "text"}, "--model simple_cnn learns from images"},
      {{"bench", "data", "--dataset", "text", "--text-file", "nowhere.txt"}, "nowhere.txt"},
      {{"bench", "data", "--dataset", "text", "--text-file", "/dev/null"}, "/dev/null"},
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
      {{"train", "--data-dir", CDDP_DATA, "--model", "resnet18", "--stem", "imagenet",
        "--max-train-samples", "1000", "--batch-size", "37"},
       "cannot train on one image alone"},
      {{"train", "--seed", "-1"}, "--seed: a number of at least 0 is needed, got -1"},
      {{"train", "--max-train-samples", "-1"}, "--max-train-samples"},
      {{"train", "--epochs", "0"}, "--epochs"},
      {{"train", "--epochs", "010"}, "--epochs: a number without leading zeros is needed, got 010"},
      {{"train", "--seed", "99999999999999999999"}, "--seed: a number of at most 64 bits"},
      {{"train", "--log-dir", "r\xe9sultats"}, "--log-dir is not encoded in UTF-8"},
      {{"train", "--epochs", "three"}, "--epochs"},
      // The last one counts, as behind the options of quickstart.sh.
      {{"train", "--epochs", "3", "--epochs", "0"}, "got 0"},
      {{"train", "--lr", "nan"}, "--lr"},
      {{"train", "--workers", "0"}, "--workers"},
      {{"train", "--schedule", "cosin"}, "did you mean \"cosine\"?"},
      {{"train", "--schedule", "multistep", "--milestones", "8,5"}, "got 8 before 5"},
      {{"train", "--optimizer", "larz"}, "did you mean \"lars\"?"},
      {{"train", "--optimizer", "adam", "--nesterov"}, "--nesterov is of sgd"},
      {{"train", "--optimizer", "adam", "--betas", "0.1,0.9,0.999"}, "--betas"},
      {{"train", "--amp", "fp16"}, "use --amp bf16"},
      {{"train", "--accumulate", "0"}, "--accumulate"},
      {{"bench", "accuracy", "--compress", "--optimizer", "adamw", "--memory", "dgc"},
       "use residual"},
      {{"train", "--collective", "gather"}, "--compress"},
      {{"train", "--collective", "split"}, "--compress"},
      {{"train", "--compress", "--collective", "split", "--owner-budget", "0"}, "--owner-budget"},
      {{"train", "--plan", "plan.json"}, "add --compress"},
      {{"train", "--compress", "--collective", "split", "--plan", "plan.json"},
       "leave out --plan, or --collective split"},
      {{"train", "--data-dir", CDDP_DATA, "--workers", "2", "--compress", "--plan", "nowhere.json"},
       "nowhere.json"},
      {{"bench", "sync", "--shapes", "resnet51"}, "did you mean \"resnet50\"?"},
      {{"bench", "sync", "--steps", "0"}, "--steps"},
      {{"bench", "sync", "--compute-ms", "nan"}, "--compute-ms"},
      {{"train", "--values", "bf16"}, "--values is of compressed gradients: add --compress"},
      {{"train", "--ratio", "0.1"}, "--ratio is of compressed gradients: add --compress"},
      {{"train", "--compress", "--no-error-feedback", "--memory", "dgc"}, "leave out one"},
      {{"train", "--compress", "--values", "int3"}, "did you mean \"int8\"?"},
      {{"train", "--compress", "--indices", "bitmp"}, "did you mean \"bitmap\"?"},
      {{"train", "--compress", "--values", "bf16", "--stochastic-rounding"},
       "--values int8 and int4"},
      {{"train", "--backend", "nccl"}, "gloo"},
      {{"train", "--device", "gpu"}, "auto, cpu, cuda, cuda:N or mps"},
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
    if (*rank == '0') arguments = {"train", "--compress", "--save-every", "0"};
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

}  // namespace
}  // namespace cddp

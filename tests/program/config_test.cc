// Configurations, from the file to what the program does.
#include <sched.h>

#include <fstream>

#include "tests/program/program.h"

namespace cddp {
namespace {

class ConfigTest : public ProgramTest {
 protected:
  // What the options of `cddp train` and `arguments` come to.
  std::string Resolved(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), "train");
    arguments.push_back("--print-config");
    Child child = Start(arguments);
    EXPECT_EQ(child.Wait(seconds(60)), 0) << child.err();
    return child.out();
  }

  std::string Write(const std::string& yaml) {
    const std::string path = (folder_.path() / "run.yaml").string();
    std::ofstream(path) << yaml;
    return path;
  }
};

constexpr char kConfigs[] = CDDP_SOURCE "/configs/";

TEST_F(ConfigTest, TheDefaultsAreThoseOfDefaultYaml) {
  EXPECT_EQ(Resolved({"--config", std::string(kConfigs) + "default.yaml"}), Resolved({}));
}

TEST_F(ConfigTest, EachConfigIsRead) {
  for (const char* name :
       {"compressed", "distributed", "resnet50_cifar10", "cifar10_fast", "transformer_text"}) {
    const std::string resolved = Resolved({"--config", kConfigs + std::string(name) + ".yaml"});
    EXPECT_FALSE(resolved.empty()) << name;
    // What is resolved stays as it is.
    EXPECT_EQ(Resolved({"--config", Write(resolved)}), resolved) << name;
  }
}

// As its first lines say.
TEST_F(ConfigTest, Cifar10FastTakesTheSmallNet) {
  const std::string resolved =
      Resolved({"--config", std::string(kConfigs) + "cifar10_fast.yaml", "--model", "resnet8"});
  EXPECT_NE(resolved.find("\nmodel: resnet8\n"), std::string::npos) << resolved;
}

// Of the cores that the program may run on.
TEST_F(ConfigTest, AutomaticWorkersAreOneForEachCore) {
  cpu_set_t before, one;
  ASSERT_EQ(sched_getaffinity(0, sizeof before, &before), 0);
  const auto expect = [&](int cores) {
    for (const std::string& resolved :
         {Resolved({"--workers", "auto"}), Resolved({"--config", Write("workers: auto\n")})}) {
      EXPECT_NE(resolved.find("\nworkers: " + std::to_string(cores) + "\n"), std::string::npos)
          << resolved;
    }
  };
  expect(CPU_COUNT(&before));
  CPU_ZERO(&one);
  for (int core = 0; CPU_COUNT(&one) == 0; ++core) {
    if (CPU_ISSET(core, &before)) CPU_SET(core, &one);
  }
  ASSERT_EQ(sched_setaffinity(0, sizeof one, &one), 0);
  expect(1);
  sched_setaffinity(0, sizeof before, &before);
}

// By rank 0 alone, and not where only warnings are wanted.
TEST_F(ConfigTest, WhatIsOfNoUseIsSaidOnce) {
  const std::string config = Write("checkpoint_dir: elsewhere\n");
  const auto said = [&](std::vector<std::string> more) {
    more.insert(more.begin(), {"compare", "--data-dir", CDDP_DATA, "--config", config, "--epochs",
                               "1", "--max-train-samples", "128", "--max-test-samples", "10",
                               "--save-every", "0", "--no-plots"});
    Child child = Start(more);
    EXPECT_EQ(child.Wait(), 0) << child.err();
    const std::string line = "checkpoint_dir is of no use to compare";
    int times = 0;
    const std::string log = child.err();
    for (size_t at = log.find(line); at != std::string::npos; at = log.find(line, at + 1)) ++times;
    return times;
  };
  EXPECT_EQ(said({"--workers", "2"}), 1);
  EXPECT_EQ(said({"--quiet"}), 0);
}

TEST_F(ConfigTest, TheOtherCommandsReadThemToo) {
  for (const std::vector<std::string>& command :
       std::vector<std::vector<std::string>>{{"compare"}, {"bench", "accuracy"}}) {
    std::vector<std::string> arguments = command;
    arguments.insert(arguments.end(), {"--config", std::string(kConfigs) + "distributed.yaml",
                                       "--ratio", "0.5", "--print-config"});
    Child child = Start(arguments);
    EXPECT_EQ(child.Wait(seconds(60)), 0) << child.err();
    EXPECT_NE(child.out().find("\nratio: 0.5\n"), std::string::npos) << child.out();
    EXPECT_NE(child.out().find("\nmemory: dgc\n"), std::string::npos) << child.out();
  }
}

TEST_F(ConfigTest, BadConfigsEndWithCodeTwo) {
  const std::vector<std::pair<std::string, std::string>> inputs = {
      {"model: simple_cnn\nratoi: 0.1\n", "run.yaml:2:1: unknown key ratoi; did you mean ratio?"},
      {"epochs: few\n", "run.yaml:1:9: epochs must be a whole number, got \"few\""},
      {"epochs: 1\nepochs: 2\n", "run.yaml:2:1: epochs is there twice"},
      {"epochs: [\n", "no YAML"},
      {"workers: 5000\n", "run.yaml:1:10: "},
      {"compress: true\nratio: 2\n", "--ratio"}};
  for (const auto& [yaml, message] : inputs) {
    Child child = Start(Train({"--config", Write(yaml)}));
    EXPECT_EQ(child.Wait(seconds(60)), 2) << yaml;
    EXPECT_NE(child.err().find(message), std::string::npos)
        << "expected: " << message << "\ngot: " << child.err();
    EXPECT_TRUE(Runs().empty());
  }
  Child missing = Start(Train({"--config", "nowhere.yaml"}));
  EXPECT_EQ(missing.Wait(seconds(60)), 2);
  EXPECT_NE(missing.err().find("nowhere.yaml"), std::string::npos) << missing.err();
}

// Two workers from a file; what is saved repeats the run to the bit.
TEST_F(ConfigTest, TheSavedConfigurationRepeatsTheRun) {
  Child first = Start(Train({"--config",
                             Write("workers: 2\ncompress: true\nratio: 0.02\ncollective: gather\n"
                                   "epochs: 7\nthreads: 1\nmax-train-samples: 640\n"),
                             "--set", "epochs=3", "--epochs", "1", "--json", "first.json"}));
  ASSERT_EQ(first.Wait(), 0) << first.err();
  const auto result = Json("first.json");
  EXPECT_EQ(result["epochs"], 1);
  EXPECT_EQ(result["world_size"], 2);
  EXPECT_EQ(result["ratio"], 0.02);

  const auto saved = Runs().at(0) / "config.yaml";
  Child second = Start(
      {"train", "--config", saved.string(), "--json", "second.json", "--log-dir", "repeated"});
  ASSERT_EQ(second.Wait(), 0) << second.err();
  EXPECT_EQ(Json("second.json")["parameters_xxh3"], result["parameters_xxh3"]);
}

}  // namespace
}  // namespace cddp

// Configurations, from the file to what the program does.
#include <fstream>
#include <thread>

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

TEST_F(ConfigTest, AutomaticWorkersAreOneForEachCore) {
  const std::string cores = std::to_string(std::thread::hardware_concurrency());
  for (const std::string& resolved :
       {Resolved({"--workers", "auto"}), Resolved({"--config", Write("workers: auto\n")})}) {
    EXPECT_NE(resolved.find("\nworkers: " + cores + "\n"), std::string::npos) << resolved;
  }
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

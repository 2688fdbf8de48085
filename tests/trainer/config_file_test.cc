#include "trainer/config_file.h"

#include <gtest/gtest.h>

#include <cmath>
#include <fstream>

#include "cddp/status.h"
#include "trainer/data/temporary_folder.h"

namespace cddp {
namespace {

// A command with one option of each kind.
class ConfigFile : public testing::Test {
 protected:
  ConfigFile() {
    app_.option_defaults()->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
    command_ = app_.add_subcommand("train");
    command_->add_option("--model", model);
    command_->add_option("--batch-size", batch_size);
    command_->add_option("--seed", seed)->check(CLI::NonNegativeNumber);
    command_->add_option("--lr", lr);
    command_->add_option("--milestones", milestones)->delimiter(',');
    command_->add_flag("--compress", compress);
    command_->add_flag("--nesterov", nesterov);
    AddConfigOptions(command_, &config_);
  }

  std::string Path() const { return (folder_.path() / "run.yaml").string(); }

  // What the program does with its command line.
  bool Parse(const std::string& yaml, std::vector<std::string> arguments = {}) {
    std::ofstream(Path()) << yaml;
    arguments.insert(arguments.begin(), {"train", "--config", Path()});
    std::ranges::reverse(arguments);
    std::vector<std::string> again = arguments;
    app_.parse(arguments);
    const bool applied = ApplyConfig(&config_, command_, {"workers"});
    if (applied) app_.parse(again);
    return applied;
  }

  std::string Refusal(const std::string& yaml, const std::vector<std::string>& arguments = {}) {
    try {
      Parse(yaml, arguments);
    } catch (const StatusError& error) {
      EXPECT_EQ(error.code(), StatusCode::kInvalidArgument);
      std::string message = error.what();
      const size_t path = message.find(Path());
      return path == std::string::npos ? message : message.replace(path, Path().size(), "FILE");
    }
    return "";
  }

  std::string model = "simple_cnn";
  int batch_size = 64;
  uint32_t seed = 1;
  double lr = 0.05;
  std::vector<int> milestones;
  bool compress = false;
  bool nesterov = true;

  TemporaryFolder folder_;
  CLI::App app_;
  CLI::App* command_;
  ConfigArguments config_;
};

TEST_F(ConfigFile, ValuesOfEachKind) {
  EXPECT_TRUE(
      Parse("# A comment.\nmodel: resnet18\nbatch_size: 128\nlr: 1e-2\nmilestones: [5, 8]\n"
            "compress: true\nnesterov: false\n"));
  EXPECT_EQ(model, "resnet18");
  EXPECT_EQ(batch_size, 128);
  EXPECT_EQ(lr, 0.01);
  EXPECT_EQ(milestones, (std::vector{5, 8}));
  EXPECT_TRUE(compress);
  EXPECT_FALSE(nesterov);
  EXPECT_EQ(seed, 1u) << "what the file leaves out stays";
}

TEST_F(ConfigFile, OtherSpellings) {
  Parse("batch-size: 7\nmilestones: 5,8\ncompress: on\nlr: .inf\nmodel: \"\"\n");
  EXPECT_EQ(batch_size, 7);
  EXPECT_EQ(milestones, (std::vector{5, 8}));
  EXPECT_TRUE(compress);
  EXPECT_TRUE(std::isinf(lr));
  EXPECT_EQ(model, "");
  Parse("milestones: 3\nmodel: off\n");
  EXPECT_EQ(milestones, std::vector{3});
  EXPECT_EQ(model, "off") << "a text, although YAML could read it as false";
}

TEST_F(ConfigFile, AnEmptyFileChangesNothing) {
  for (const char* yaml : {"", "# nothing\n", "---\n"}) {
    Parse(yaml);
    EXPECT_EQ(model, "simple_cnn");
  }
}

TEST_F(ConfigFile, FlagsBeatSettingsBeatTheFile) {
  const std::string yaml = "model: a\nbatch_size: 1\nlr: 1\ncompress: true\nmilestones: [1, 2]\n";
  Parse(yaml, {"--model", "c", "--set", "model=b", "--set", "batch_size=2", "--compress=false",
               "--milestones", "9"});
  EXPECT_EQ(model, "c");
  EXPECT_EQ(batch_size, 2);
  EXPECT_EQ(lr, 1);
  EXPECT_FALSE(compress);
  EXPECT_EQ(milestones, std::vector{9});
}

TEST_F(ConfigFile, SettingsAreYamlToo) {
  Parse("",
        {"--set", "milestones=[4, 6]", "--set", "compress=yes", "--set", "lr=1", "--set", "lr=2"});
  EXPECT_EQ(milestones, (std::vector{4, 6}));
  EXPECT_TRUE(compress);
  EXPECT_EQ(lr, 2) << "the last one counts, as with flags";
}

TEST_F(ConfigFile, UnknownKeysAreRefusedWithTheNearestOne) {
  EXPECT_EQ(Refusal("model: x\n\nbatch_sise: 3\n"),
            "FILE:3:1: unknown key batch_sise; did you mean batch-size?");
  EXPECT_NE(Refusal("xyzzyxyzzy: 3\n").find("FILE:1:1: unknown key xyzzyxyzzy"), std::string::npos);
  EXPECT_NE(Refusal("config: other.yaml\n").find("unknown key config"), std::string::npos);
  EXPECT_NE(Refusal("help: true\n").find("unknown key help"), std::string::npos);
  EXPECT_EQ(Refusal("", {"--set", "ls=3"}), "--set ls=3: unknown key ls; did you mean lr?");
}

TEST_F(ConfigFile, KeysOfOtherCommandsAreSkipped) {
  EXPECT_EQ(Refusal("workers: 2\nmodel: x\n"), "");
  EXPECT_EQ(model, "x");
  ASSERT_EQ(config_.skipped.size(), 1u) << "said once the log has its level";
  EXPECT_EQ(config_.skipped[0], Path() + ": workers is of no use to train: skipped");
}

TEST_F(ConfigFile, WrongTypesAreRefusedWithTheirPlace) {
  EXPECT_EQ(Refusal("model: x\nbatch_size: many\n"),
            "FILE:2:13: batch_size must be a whole number, got \"many\"");
  EXPECT_EQ(Refusal("batch-size: 1.5\n"),
            "FILE:1:13: batch-size must be a whole number, got \"1.5\"");
  EXPECT_EQ(Refusal("lr: fast\n"), "FILE:1:5: lr must be a number, got \"fast\"");
  EXPECT_EQ(Refusal("lr: [1, 2]\n"), "FILE:1:5: lr must be a number, got a list");
  EXPECT_EQ(Refusal("lr:\n  base: 1\n"), "FILE:2:3: lr must be a number, got a section");
  EXPECT_NE(Refusal("lr:\n").find("lr must be a number, got nothing"), std::string::npos);
  EXPECT_EQ(Refusal("compress: 2\n"), "FILE:1:11: compress must be true or false, got \"2\"");
  EXPECT_EQ(Refusal("milestones: [5, x]\n"),
            "FILE:1:13: milestones must be a whole number, or a list of such, got a list");
  EXPECT_NE(Refusal("seed: -1\n").find("FILE:1:7: "), std::string::npos);
  EXPECT_EQ(Refusal("", {"--set", "lr=fast"}), "--set lr=fast: lr must be a number, got \"fast\"");
  EXPECT_EQ(Refusal("", {"--set", "lr"}), "--set lr: expected KEY=VALUE");
}

TEST_F(ConfigFile, AKeyTwiceIsRefused) {
  EXPECT_EQ(Refusal("lr: 1\nmodel: x\nlr: 2\n"),
            "FILE:3:1: lr is there twice, in line 1 for the first time");
  EXPECT_EQ(Refusal("batch-size: 1\nbatch_size: 1\n"),
            "FILE:2:1: batch_size is there twice, in line 1 for the first time");
}

TEST_F(ConfigFile, WhatIsNoMapOrNoYamlIsRefused) {
  EXPECT_NE(Refusal("- lr\n- 1\n").find("FILE:1:1: expected lines like"), std::string::npos);
  EXPECT_NE(Refusal("model: x\nlr: [1\n").find("FILE:"), std::string::npos);
  EXPECT_NE(Refusal("model: x\nlr: [1\n").find("no YAML"), std::string::npos);
  EXPECT_NE(Refusal("lr: \"1").find("no YAML"), std::string::npos);
  EXPECT_NE(Refusal("lr: *base\n").find("FILE:1:"), std::string::npos);
  EXPECT_EQ(Refusal("lr: 1\n---\nmodel: x\n"),
            "FILE:2:1: a second document, or text that belongs to none; only one is read");
  // Belongs to no document.
  EXPECT_EQ(Refusal(",lr: 1\n"),
            "FILE:1:1: a second document, or text that belongs to none; only one is read");
  EXPECT_NE(Refusal("[lr, model]: 1\n").find("name of a flag"), std::string::npos);
}

TEST_F(ConfigFile, AMissingFileIsNamed) {
  config_.file = "/no/such/file.yaml";
  try {
    ApplyConfig(&config_, command_, {});
    FAIL();
  } catch (const StatusError& error) {
    EXPECT_EQ(error.code(), StatusCode::kUnavailable);
    EXPECT_NE(std::string(error.what()).find("/no/such/file.yaml"), std::string::npos);
  }
}

TEST(ToYaml, LeavesOutWhatIsNothingAndWhereWorkersMet) {
  TrainOptions options{.compress = true,
                       .ratio = 0.001,
                       .owner_budget = INFINITY,
                       .rendezvous = "file:/tmp/meeting",
                       .log_dir = "my runs: \"all\""};
  const std::string yaml = ToYaml(options);
  for (const char* line : {"\ncompress: true\n", "\nratio: 0.001\n", "\nowner_budget: inf\n",
                           "\nbatch_size: 64\n", "\nlog_dir: \"my runs: \\\"all\\\"\"\n"}) {
    EXPECT_NE(yaml.find(line), std::string::npos) << line << yaml;
  }
  EXPECT_EQ(yaml.find("rendezvous"), std::string::npos);
  EXPECT_EQ(yaml.find("\nplan:"), std::string::npos);
  EXPECT_EQ(yaml.find("\nclip_norm:"), std::string::npos);
}

TEST(ToYaml, OfACommandWithOptionsOfItsOwn) {
  const std::string yaml = ToYaml(TrainOptions(), "compare",
                                  {{"ratios", {0.1, 0.01}}, {"baseline", true}, {"target", 0.0}});
  EXPECT_TRUE(yaml.starts_with("# Repeats this run: cddp compare --config FILE\n")) << yaml;
  EXPECT_NE(yaml.find("\nratios: [0.1, 0.01]\n"), std::string::npos) << yaml;
  EXPECT_NE(yaml.find("\nbaseline: true\n"), std::string::npos) << yaml;
  EXPECT_EQ(yaml.find("\ntarget:"), std::string::npos) << yaml;
}

}  // namespace
}  // namespace cddp

// scripts/pipeline.sh: the folders and ratios that its options name. The program is a shell
// script that notes how it was called.
#include <array>
#include <fstream>

#include "tests/program/program.h"

namespace cddp {
namespace {

class PipelineTest : public ProgramTest {
 protected:
  void SetUp() override {
    const std::filesystem::path program = folder_.path() / "program";
    std::ofstream(program) << "#!/bin/bash\necho \"$@\" >> " << (folder_.path() / "calls").string()
                           << R"(
[ "$1" = compare ] || exit 0
while [ $# -gt 0 ]; do
  case $1 in
    --log-dir) out=$2 ;;
    --log-dir=*) out=${1#*=} ;;
  esac
  shift
done
mkdir -p "$out/1-compare-dense/checkpoints" "$out/2-compare"
)";
    std::filesystem::permissions(program, std::filesystem::perms::owner_all);
  }

  int Pipeline(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), CDDP_SOURCE "/scripts/pipeline.sh");
    Child child(arguments, {{"CDDP", (folder_.path() / "program").string()}}, folder_.path());
    const int code = child.Wait(seconds(60));
    said_ = child.err();
    return code;
  }

  std::string said_;
};

TEST_F(PipelineTest, TheFoldersAndRatiosOfItsOptionsAreThoseOfEveryStep) {
  for (const bool joined : {false, true}) {
    const std::string out = (folder_.path() / (joined ? "joined" : "apart")).string();
    std::vector<std::string> options = {"--ratios", "0.5", "--log-dir", out, "--data-dir", "/d"};
    if (joined) options = {"--ratios=0.5", "--log-dir=" + out, "--data-dir=/d"};
    ASSERT_EQ(Pipeline(options), 0) << said_;
    const std::string calls = ReadText(folder_.path() / "calls");
    EXPECT_NE(calls.find("compare --workers 2 --baseline "), std::string::npos) << calls;
    EXPECT_NE(
        calls.find("test --checkpoint " + out + "/1-compare-dense//checkpoints --data-dir /d\n"),
        std::string::npos)
        << calls;
    EXPECT_NE(calls.find("plot " + out + "/1-compare-dense/ " + out + "/2-compare/\n"),
              std::string::npos)
        << calls;
    EXPECT_NE(calls.find("report " + out + "/2-compare/ --output " + out + "/report.html\n"),
              std::string::npos)
        << calls;
    EXPECT_EQ(calls.find("0.1,0.01,0.001"), std::string::npos) << calls;
  }
}

TEST_F(PipelineTest, AFolderOfOtherRunsIsRefused) {
  const std::string out = (folder_.path() / "out").string();
  ASSERT_EQ(Pipeline({"--log-dir", out}), 0) << said_;
  EXPECT_EQ(Pipeline({"--log-dir", out}), 2);
  EXPECT_NE(said_.find("holds folders already"), std::string::npos) << said_;
}

// Its tests would be of another text, or none, and its defaults would win.
TEST_F(PipelineTest, WhatItPassesOnItselfAreFlags) {
  const std::string out = (folder_.path() / "out").string();
  ASSERT_EQ(Pipeline({"--dataset", "text", "--text-file", "a b.txt", "--log-dir", out}), 0)
      << said_;
  const std::string calls = ReadText(folder_.path() / "calls");
  EXPECT_NE(calls.find(" --data-dir data --text-file a b.txt\n"), std::string::npos) << calls;
  std::filesystem::remove(folder_.path() / "calls");

  const std::string file = (folder_.path() / "config.yaml").string();
  std::ofstream(file) << "epochs: 1\ntext_file: novel.txt\n";
  for (const auto& [option, value, flag] :
       std::vector<std::array<std::string, 3>>{{"--set", "workers=4", "--workers"},
                                               {"--set", "log-dir=runs", "--log-dir"},
                                               {"--config", file, "--text-file"}}) {
    EXPECT_EQ(Pipeline({option, value}), 2) << value;
    EXPECT_NE(said_.find("give that as " + flag), std::string::npos) << said_;
    EXPECT_EQ(Pipeline({option + "=" + value}), 2) << value;
  }
  EXPECT_FALSE(std::filesystem::exists(folder_.path() / "calls"));
}

}  // namespace
}  // namespace cddp

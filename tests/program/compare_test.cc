// cddp compare.
#include <signal.h>

#include <sstream>

#include "tests/program/documented.h"
#include "tests/program/program.h"

namespace cddp {
namespace {

namespace fs = std::filesystem;

class CompareTest : public ProgramTest {
 protected:
  static std::vector<std::string> Compare(const std::vector<std::string>& more) {
    std::vector<std::string> arguments{"compare", "--data-dir",         CDDP_DATA, "--epochs",
                                       "1",       "--max-test-samples", "500",     "--threads",
                                       "1",       "--collective",       "gather"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return arguments;
  }

  // The run folder whose name ends so; empty when there is none.
  fs::path Folder(const std::string& end) const {
    for (const fs::path& run : Runs()) {
      if (run.string().ends_with(end)) return run;
    }
    return {};
  }
};

TEST_F(CompareTest, ABaselineAndSeveralRatios) {
  Child child = Start(Compare({"--workers", "2", "--max-train-samples", "640", "--baseline",
                               "--ratios", "0.5", "--ratios", "0.1,0.001", "--log-every", "0",
                               "--json-lines", "--json", "result.json"}));
  ASSERT_EQ(child.Wait(), 0) << child.err();
  ExpectDocumented(Json("result.json"));
  const nlohmann::json runs = Json("result.json")["runs"];
  std::vector<std::string> labels;
  for (const nlohmann::json& run : runs) labels.push_back(run["label"]);
  const std::vector<std::string> expected{"baseline", "dense", "top 10%", "top 0.1%"};
  EXPECT_EQ(labels, expected) << "the last --ratios holds";
  EXPECT_EQ(runs[0]["summary"]["world_size"], 1);
  EXPECT_EQ(runs[0]["summary"]["tx_bytes_per_step"], 0);
  EXPECT_EQ(runs[3]["summary"]["ratio"], 0.001);
  EXPECT_GT(runs[3]["tx_bytes_reduction"], runs[2]["tx_bytes_reduction"]);
  EXPECT_GT(runs[1]["efficiency_fraction"], 0);
  const fs::path folder = Folder("-compare");
  for (const char* name : {"comparison.md", "comparison.csv", "comparison.png"}) {
    EXPECT_TRUE(fs::exists(folder / name)) << name;
  }

  // Standard output is JSON alone, and says which training it is of.
  std::istringstream lines(child.out());
  labels.clear();
  for (std::string line; std::getline(lines, line);) {
    const nlohmann::json record = nlohmann::json::parse(line);
    if (record["kind"] == "training") labels.push_back(record["label"]);
  }
  EXPECT_EQ(labels, expected);
  EXPECT_NE(child.err().find("times fewer than dense"), std::string::npos) << child.err();

  // The files that repeat it.
  const std::string alone = ReadText(Folder("-baseline") / "config.yaml");
  EXPECT_NE(alone.find("\nworkers: 1\n"), std::string::npos) << alone;
  Child again = Start({"compare", "--config", folder / "config.yaml", "--print-config"});
  EXPECT_EQ(again.Wait(), 0) << again.err();
  EXPECT_TRUE(again.out().starts_with("# Repeats this run: cddp compare")) << again.out();
  EXPECT_NE(again.out().find("\nratios: [0.1, 0.001]\n"), std::string::npos) << again.out();
}

TEST_F(CompareTest, WhatIsDoneStaysWhenTheRestIsNot) {
  Child child = Start(Compare({"--max-train-samples", "6400"}));
  const auto deadline = std::chrono::steady_clock::now() + seconds(120);
  while (!fs::exists(Folder("-compare") / "comparison.csv") &&
         std::chrono::steady_clock::now() < deadline) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  child.Signal(SIGTERM);
  EXPECT_EQ(child.Wait(), 128 + SIGTERM) << child.err();
  const nlohmann::json comparison =
      nlohmann::json::parse(ReadText(Folder("-compare") / "comparison.json"));
  ASSERT_EQ(comparison["runs"].size(), 1u);
  EXPECT_EQ(comparison["runs"][0]["label"], "dense");
}

TEST_F(CompareTest, RatiosOutOfRangeNameTheirFlag) {
  Child child = Start(Compare({"--ratios", "0.1,2"}));
  EXPECT_EQ(child.Wait(), 2);
  EXPECT_NE(child.err().find("--ratios: "), std::string::npos) << child.err();
}

// The limit on a file's size, in blocks of 512 bytes, stands for a full disk.
TEST_F(CompareTest, WhatCouldNotBeSavedIsAnError) {
  std::string command = "ulimit -f 2000; exec " + std::string(CDDP_PROGRAM);
  for (const std::string& argument :
       Compare({"--max-train-samples", "640", "--save-every", "1", "--json", "result.json"})) {
    command += " '" + argument + "'";
  }
  Child child({"/bin/sh", "-c", command}, {}, folder_.path());
  EXPECT_EQ(child.Wait(), 2) << child.err();
  EXPECT_NE(child.err().find("top 1%: its last checkpoint could not be saved"), std::string::npos)
      << child.err();
  EXPECT_EQ(Json("result.json")["runs"].size(), 2u);
}

// The others wait for rank 0, which fails alone: all end, and with its code.
TEST_F(CompareTest, ABaselineThatDivergesEndsAllWorkers) {
  Child child = Start(
      Compare({"--workers", "2", "--max-train-samples", "6400", "--baseline", "--lr", "1e6"}));
  EXPECT_EQ(child.Wait(), 4) << child.err();
  EXPECT_NE(child.err().find("diverged"), std::string::npos) << child.err();
}

}  // namespace
}  // namespace cddp

#include "trainer/report/report_command.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <string>

#include "cddp/status.h"
#include "tests/trainer/report/run_folders.h"

namespace cddp {
namespace {

namespace fs = std::filesystem;

class ReportCommandTest : public testing::Test {
 protected:
  // Runs the command; what it printed.
  std::string Report(const std::vector<std::string>& runs, const std::string& output = "",
                     int expected_code = 0) {
    testing::internal::CaptureStdout();
    int code = -1;
    try {
      code = ReportCommand({.runs = runs, .output = output});
    } catch (...) {
      testing::internal::GetCapturedStdout();
      throw;
    }
    EXPECT_EQ(code, expected_code);
    return testing::internal::GetCapturedStdout();
  }
  RunFolders folders_;
};

TEST_F(ReportCommandTest, WritesIntoTheFirstRun) {
  const fs::path one = folders_.MakeRun("one"), two = folders_.MakeRun("two");
  EXPECT_EQ(Report({one.string(), two.string()}), (one / "report.html").string() + "\n");
  const std::string page = TextOf(one / "report.html");
  EXPECT_NE(page.find("\"title\":\"2 runs\""), std::string::npos);
  EXPECT_FALSE(fs::exists(two / "report.html"));
}

TEST_F(ReportCommandTest, OutputMayLieElsewhere) {
  const fs::path file = folders_.path() / "page.html";
  Report({folders_.MakeRun("one").string()}, file.string());
  EXPECT_TRUE(fs::exists(file));
}

TEST_F(ReportCommandTest, FolderThatComesTwiceIsShownOnce) {
  const fs::path one = folders_.MakeRun("one");
  Report({one.string(), (one / "").string(), (folders_.path() / "." / "one").string()});
  EXPECT_NE(TextOf(one / "report.html").find("\"title\":\"one\""), std::string::npos);
}

TEST_F(ReportCommandTest, HostileNamesStayText) {
  const fs::path run = folders_.MakeRun("<b>one<b> & 'two'");
  folders_.Set(run / "config.json", "dataset", "</script><script>alert(1)");
  Report({run.string()});
  const std::string page = TextOf(run / "report.html");
  EXPECT_EQ(page.find("<b>one"), std::string::npos);
  EXPECT_EQ(page.find("alert(1)</"), std::string::npos);
  EXPECT_NE(page.find("\\u003c/script>\\u003cscript>alert(1)"), std::string::npos);
}

TEST_F(ReportCommandTest, ABrokenRunDoesNotKeepTheRest) {
  const fs::path older = folders_.MakeRun("older"), whole = folders_.MakeRun("whole");
  nlohmann::json history = nlohmann::json::parse(TextOf(older / "history.json"));
  history[0].erase("data_ms");
  folders_.WriteJson(older / "history.json", history);
  const std::string none = (folders_.path() / "none").string();
  const std::string said = Report({older.string(), none, whole.string()}, "", 5);
  EXPECT_TRUE(said.ends_with((whole / "report.html").string() + "\n")) << said;
  const std::string page = TextOf(whole / "report.html");
  EXPECT_NE(page.find("\"title\":\"whole\""), std::string::npos);
  EXPECT_NE(page.find("Not shown: " + (older / "history.json").string()), std::string::npos);
  EXPECT_EQ(Report({none}, "", 2).find("report.html"), std::string::npos);
}

TEST_F(ReportCommandTest, UnwritableOutputSaysWhatToDo) {
  const std::string run = folders_.MakeRun("one").string();
  try {
    Report({run}, (folders_.path() / "nowhere" / "page.html").string());
    FAIL();
  } catch (const StatusError& error) {
    EXPECT_EQ(error.code(), StatusCode::kUnavailable);
    EXPECT_NE(std::string(error.what()).find("nowhere"), std::string::npos) << error.what();
    EXPECT_NE(std::string(error.what()).find("--output"), std::string::npos) << error.what();
  }
  EXPECT_THROW(Report({}), StatusError);
}

TEST_F(ReportCommandTest, TenRunsOfAHundredEpochsStaySmall) {
  std::vector<std::string> runs;
  for (int i = 0; i < 10; ++i) {
    runs.push_back(folders_.MakeRun(fmt::format("run-{}", i), 100).string());
    std::string metrics;
    for (unsigned step = 10; step <= 10'000; step += 10) {
      metrics += StepLine(step, 1 + static_cast<int>((step - 1) / 100), 1.0 / 3 / step);
      if (step % 100 == 0) metrics += EpochLine(step, static_cast<int>(step / 100));
    }
    folders_.Write(fs::path(runs.back()) / "metrics.jsonl", metrics);
  }
  const fs::path page = folders_.path() / "page.html";
  Report(runs, page.string());
  EXPECT_LT(fs::file_size(page), 3'000'000u);
}

}  // namespace
}  // namespace cddp

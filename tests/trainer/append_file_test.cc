#include "trainer/append_file.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>

#include <fstream>
#include <sstream>

#include "cddp/status.h"
#include "trainer/data/temporary_folder.h"

namespace cddp {
namespace {

class AppendFileTest : public testing::Test {
 protected:
  void Write(const std::string& text) { std::ofstream(path_) << text; }
  std::string Read() const {
    std::stringstream text;
    text << std::ifstream(path_).rdbuf();
    return text.str();
  }

  TemporaryFolder folder_;
  std::filesystem::path path_ = folder_.path() / "lines";
};

TEST_F(AppendFileTest, RecordsAreThereAtOnceBehindWhatWas) {
  Write("a\n");
  AppendFile file(path_);
  file.Append("b\n");
  EXPECT_EQ(Read(), "a\nb\n");
}

// The limit on a file's size stands for a full disk.
TEST_F(AppendFileTest, WhatDoesNotFitLeavesNothingBehind) {
  rlimit before{};
  getrlimit(RLIMIT_FSIZE, &before);
  const rlimit small{.rlim_cur = 10, .rlim_max = before.rlim_max};
  const auto action = signal(SIGXFSZ, SIG_IGN);
  AppendFile file(path_);
  file.Append("a\n");
  setrlimit(RLIMIT_FSIZE, &small);
  EXPECT_THROW(file.Append("much too long\n"), StatusError);
  EXPECT_NO_THROW(file.Append("b\n"));
  setrlimit(RLIMIT_FSIZE, &before);
  signal(SIGXFSZ, action);
  EXPECT_EQ(Read(), "a\nb\n");
}

TEST_F(AppendFileTest, WhatCannotBeWrittenIsNamed) {
  EXPECT_THROW(AppendFile(folder_.path() / "no" / "lines"), StatusError);
  try {
    AppendFile("/dev/full").Append("x");
    FAIL();
  } catch (const StatusError& error) {
    EXPECT_EQ(error.code(), StatusCode::kUnavailable);
    EXPECT_NE(std::string(error.what()).find("cannot write /dev/full: No space left"),
              std::string::npos)
        << error.what();
  }
}

}  // namespace
}  // namespace cddp

#include "trainer/append_file.h"

#include <gtest/gtest.h>

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

TEST_F(AppendFileTest, ATornLineIsCutOff) {
  const std::string line(10'000, 'x');
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"", ""},
      {"a\n", "a\n"},
      {"a\nb", "a\n"},
      {"torn", ""},
      {line + "\n" + line, line + "\n"},
      {line, ""},
      {std::string(4095, 'x') + "\n" + std::string(4096, 'y'), std::string(4095, 'x') + "\n"}};
  for (const auto& [before, after] : cases) {
    Write(before);
    AppendFile file(path_);
    file.CutTornLine();
    EXPECT_EQ(Read(), after);
    file.Append("c\n");
    EXPECT_EQ(Read(), after + "c\n");
  }
}

TEST_F(AppendFileTest, WhatCannotBeWrittenIsNamed) {
  EXPECT_THROW(AppendFile(folder_.path() / "no" / "lines"), StatusError);
  try {
    AppendFile("/dev/full").Append("x");
    FAIL();
  } catch (const StatusError& error) {
    EXPECT_EQ(error.code(), StatusCode::kUnavailable);
    EXPECT_NE(std::string(error.what()).find("/dev/full cannot be written: No space left"),
              std::string::npos)
        << error.what();
  }
}

}  // namespace
}  // namespace cddp

#include "trainer/data/child_process.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <chrono>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "cddp/status.h"
#include "tests/trainer/data/data_fixtures.h"
#include "trainer/data/file_bytes.h"
#include "trainer/data/temporary_folder.h"

namespace cddp {
namespace {

class RunProgramTest : public testing::Test {
 protected:
  void Run(const std::vector<std::string>& arguments, int limit_ms = 20000) {
    RunProgram(arguments, folder_.path(), folder_.path() / "log",
               std::chrono::milliseconds(limit_ms));
  }
  const TemporaryFolder folder_;
};

TEST_F(RunProgramTest, PassesArgumentsAsTheyAre) {
  Run({"sh", "-c", "printf '%s|' \"$@\"; pwd -P", "sh", "a b", "$HOME;*"});
  const Bytes log = ReadFileBytes(folder_.path() / "log", 1000);
  EXPECT_EQ(std::string(log.begin(), log.end()),
            "a b|$HOME;*|" + fs::canonical(folder_.path()).string() + "\n");
}

TEST_F(RunProgramTest, ReportsExitCodeSignalAndLastLines) {
  ExpectRefusal(
      [&] {
        Run({"sh", "-c", "seq 1 9; echo why >&2; exit 3"});
      },
      StatusCode::kUnavailable, {"exit code 3: 7 | 8 | 9 | why"});
  ExpectRefusal(
      [&] {
        Run({"sh", "-c", "kill -TERM $$"});
      },
      StatusCode::kUnavailable, {"signal 15", "printed nothing"});
  ExpectRefusal([&] { Run({"cddp-no-such-program"}); }, StatusCode::kUnavailable,
                {"'cddp-no-such-program' is not installed"});
}

TEST_F(RunProgramTest, KillsTheWholeGroupAtTheTimeLimit) {
  const auto start = std::chrono::steady_clock::now();
  ExpectRefusal(
      [&] {
        Run({"sh", "-c", "sleep 60 & echo $!; wait"}, 1000);
      },
      StatusCode::kUnavailable, {"still running after 1 s"});
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(10));
  const Bytes log = ReadFileBytes(folder_.path() / "log", 100);
  const int grandchild = std::stoi(std::string(log.begin(), log.end()));
  // Nobody here reaps it: until init does, it is a zombie, which is dead enough.
  for (int i = 0; i < 200; ++i) {
    std::ifstream stat(fmt::format("/proc/{}/stat", grandchild));
    std::string pid, name, state;
    if (!(stat >> pid >> name >> state) || state == "Z") return;
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  ADD_FAILURE() << "process " << grandchild << " survived";
}

}  // namespace
}  // namespace cddp

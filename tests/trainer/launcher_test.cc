// Workers are shell commands that leave files in a folder of the test's own.
#include "trainer/launcher.h"

#include <gtest/gtest.h>
#include <pty.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <sstream>
#include <string>
#include <thread>

#include "cddp/status.h"

namespace cddp {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

// How long anything that should happen may take on a busy machine.
constexpr milliseconds kPatience{20'000};

bool Eventually(const std::function<bool()>& condition) {
  const auto deadline = steady_clock::now() + kPatience;
  while (!condition()) {
    if (steady_clock::now() > deadline) return false;
    std::this_thread::sleep_for(milliseconds(5));
  }
  return true;
}

class LauncherTest : public testing::Test {
 protected:
  void SetUp() override {
    // A shell that runs the test in the background has SIGINT ignored.
    for (const int number : {SIGINT, SIGTERM, SIGHUP, SIGUSR1}) signal(number, SIG_DFL);
    std::string name = (std::filesystem::temp_directory_path() / "launcher_test.XXXXXX").string();
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    folder_ = name;
  }

  void TearDown() override {
    // No zombie of this process, and no worker of a launcher that was forked.
    EXPECT_EQ(waitpid(-1, nullptr, WNOHANG), -1);
    for (const pid_t pid : WorkerPids()) {
      EXPECT_TRUE(Eventually([&] { return IsGone(pid); })) << "worker " << pid << " is left";
    }
    std::filesystem::remove_all(folder_);
  }

  // Each worker first leaves its pid in the file pid.RANK of the folder it runs in.
  LaunchOptions Workers(int count, const std::string& script) const {
    LaunchOptions options;
    options.workers = count;
    options.command = {"/bin/sh", "-c", "cd " + folder_.string() + "; " + script, "worker"};
    return options;
  }

  static std::string Announce() { return "echo $$ > new.$RANK; mv new.$RANK pid.$RANK; "; }

  std::vector<pid_t> WorkerPids() const {
    std::vector<pid_t> pids;
    for (const auto& entry : std::filesystem::directory_iterator(folder_)) {
      if (entry.path().stem() == "pid") pids.push_back(std::stoi(Content(entry.path())));
    }
    return pids;
  }

  bool AllAnnounced(size_t count) const {
    return Eventually([&] { return WorkerPids().size() == count; });
  }

  static std::string Content(const std::filesystem::path& path) {
    std::ostringstream text;
    text << std::ifstream(path).rdbuf();
    return text.str();
  }

  // A dead orphan may stay a zombie for as long as the system's reaper likes.
  static bool IsGone(pid_t pid) {
    return kill(pid, 0) != 0 ||
           Content("/proc/" + std::to_string(pid) + "/stat").find(") Z ") != std::string::npos;
  }

  // Runs the launcher in a process of its own.
  static pid_t Fork(const LaunchOptions& options) {
    const pid_t pid = fork();
    if (pid == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      _exit(RunWorkers(options));
    }
    return pid;
  }

  static int ExitCode(pid_t pid) {
    int status = 0;
    EXPECT_EQ(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
  }

  std::filesystem::path folder_;
};

constexpr char kSleep[] = "exec sleep 600";

TEST_F(LauncherTest, EachWorkerKnowsItsPlace) {
  setenv("RANK", "77", 1);
  setenv("LAUNCHER_TEST_KEPT", "a b", 1);
  LaunchOptions options = Workers(
      3,
      "echo $RANK $LOCAL_RANK $WORLD_SIZE $LOCAL_WORLD_SIZE $OMP_NUM_THREADS $LAUNCHER_TEST_KEPT "
      "$1 > env.$RANK");
  options.threads_per_worker = 5;
  options.command.push_back("--flag=$x y");
  EXPECT_EQ(RunWorkers(options), 0);
  unsetenv("RANK");
  for (const std::string rank : {"0", "1", "2"}) {
    EXPECT_EQ(Content(folder_ / ("env." + rank)), rank + " " + rank + " 3 3 5 a b --flag=$x y\n");
  }
}

TEST_F(LauncherTest, ThreadsAreLeftAloneOnRequest) {
  setenv("OMP_NUM_THREADS", "11", 1);
  LaunchOptions options = Workers(1, "echo $OMP_NUM_THREADS > threads");
  options.threads_per_worker = 0;
  EXPECT_EQ(RunWorkers(options), 0);
  unsetenv("OMP_NUM_THREADS");
  EXPECT_EQ(Content(folder_ / "threads"), "11\n");
}

TEST_F(LauncherTest, OneWorker) {
  EXPECT_EQ(RunWorkers(Workers(1, "exit 0")), 0);
  EXPECT_EQ(RunWorkers(Workers(1, "exit 4")), 4);
}

TEST_F(LauncherTest, WaitsForTheSlowest) {
  EXPECT_EQ(RunWorkers(Workers(3, "if [ $RANK = 1 ]; then sleep 0.5; echo > done; fi")), 0);
  EXPECT_TRUE(std::filesystem::exists(folder_ / "done"));
}

TEST_F(LauncherTest, TheRestEndsAfterGraceWhenOneFails) {
  LaunchOptions options = Workers(3, Announce() + "if [ $RANK = 1 ]; then exit 2; fi; " + kSleep);
  options.grace = milliseconds(300);
  const auto start = steady_clock::now();
  testing::internal::CaptureStdout();
  EXPECT_EQ(RunWorkers(options), 2);
  const auto took = steady_clock::now() - start;
  const std::string log = testing::internal::GetCapturedStdout();
  EXPECT_GE(took, options.grace);
  EXPECT_LT(took, milliseconds(2000));
  const std::string pid = Content(folder_ / "pid.1");
  EXPECT_NE(
      log.find("worker rank 1 (pid " + pid.substr(0, pid.size() - 1) + ") exited with code 2"),
      std::string::npos)
      << log;
}

TEST_F(LauncherTest, WhoIgnoresSigtermIsKilled) {
  LaunchOptions options =
      Workers(2, "trap '' TERM; " + Announce() + "if [ $RANK = 0 ]; then exit 9; fi; " + kSleep);
  options.grace = milliseconds(200);
  const auto start = steady_clock::now();
  EXPECT_EQ(RunWorkers(options), 9);
  EXPECT_GE(steady_clock::now() - start, milliseconds(2200));
}

TEST_F(LauncherTest, DeathByASignalIsALostPeer) {
  testing::internal::CaptureStdout();
  EXPECT_EQ(RunWorkers(Workers(2, "if [ $RANK = 1 ]; then kill -9 $$; fi; sleep 0.1; exit 3")), 3);
  const std::string log = testing::internal::GetCapturedStdout();
  EXPECT_NE(log.find("was killed by signal 9 (Killed)"), std::string::npos) << log;
}

TEST_F(LauncherTest, TheCauseGoesBeforeThoseThatReportIt) {
  EXPECT_EQ(RunWorkers(Workers(3, "if [ $RANK = 2 ]; then sleep 0.3; exit 4; fi; exit 3")), 4);
  EXPECT_EQ(RunWorkers(Workers(2, "if [ $RANK = 1 ]; then sleep 0.3; exit 5; fi; exit 4")), 4);
  EXPECT_EQ(RunWorkers(Workers(2, "if [ $RANK = 1 ]; then sleep 0.3; exit 5; fi; kill -9 $$")), 3);
}

TEST_F(LauncherTest, AMissingProgramIsNamed) {
  LaunchOptions options;
  options.workers = 3;
  options.command = {"/no/such/program"};
  testing::internal::CaptureStdout();
  EXPECT_EQ(RunWorkers(options), 2);
  const std::string log = testing::internal::GetCapturedStdout();
  EXPECT_NE(log.find("/no/such/program: No such file or directory"), std::string::npos) << log;
}

TEST_F(LauncherTest, OptionsAreChecked) {
  EXPECT_THROW(RunWorkers({.workers = 0, .command = {"/bin/true"}}), StatusError);
  EXPECT_THROW(RunWorkers({.workers = 1, .command = {}}), StatusError);
}

class LauncherAskedToEnd : public LauncherTest, public testing::WithParamInterface<int> {};

TEST_P(LauncherAskedToEnd, PassesItOnAndEndsWithItsCode) {
  const pid_t launcher = Fork(Workers(3, Announce() + kSleep));
  ASSERT_TRUE(AllAnnounced(3));
  kill(launcher, GetParam());
  EXPECT_EQ(ExitCode(launcher), 128 + GetParam());
}

TEST_P(LauncherAskedToEnd, WaitsForWorkersThatEndInTheirOwnTime) {
  const std::string trap = "trap 'sleep 0.5; echo > saved.$RANK; exit 0' INT TERM HUP; ";
  const pid_t launcher = Fork(Workers(2, trap + Announce() + "while :; do sleep 0.05; done"));
  ASSERT_TRUE(AllAnnounced(2));
  kill(launcher, GetParam());
  EXPECT_EQ(ExitCode(launcher), 0) << "they came to the end, all the same";
  EXPECT_TRUE(std::filesystem::exists(folder_ / "saved.0"));
  EXPECT_TRUE(std::filesystem::exists(folder_ / "saved.1"));
}

INSTANTIATE_TEST_SUITE_P(Signals, LauncherAskedToEnd, testing::Values(SIGINT, SIGTERM, SIGHUP));

// As those of a GPU's driver: a signal to the process may go to a thread that does not block it.
TEST_F(LauncherTest, OtherThreadsTakeNoSignalAway) {
  const LaunchOptions options =
      Workers(3, Announce() + "if [ $RANK = 0 ]; then exit 0; fi; " + kSleep);
  const pid_t launcher = fork();
  if (launcher == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    std::thread([] {
      for (;;) pause();
    }).detach();
    _exit(RunWorkers(options));
  }
  ASSERT_TRUE(AllAnnounced(3));
  kill(launcher, SIGTERM);
  int status = 0;
  EXPECT_TRUE(Eventually([&] { return waitpid(launcher, &status, WNOHANG) == launcher; }));
  EXPECT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 128 + SIGTERM);
  kill(launcher, SIGKILL);
}

TEST_F(LauncherTest, ASecondInterruptKillsAtOnce) {
  const pid_t launcher = Fork(
      Workers(2, "trap 'echo > int.$RANK' INT; " + Announce() + "while :; do sleep 0.05; done"));
  ASSERT_TRUE(AllAnnounced(2));
  kill(launcher, SIGINT);
  EXPECT_TRUE(Eventually([&] {
    return std::filesystem::exists(folder_ / "int.0") && std::filesystem::exists(folder_ / "int.1");
  }));
  const auto start = steady_clock::now();
  kill(launcher, SIGINT);
  EXPECT_EQ(ExitCode(launcher), 130);
  EXPECT_LT(steady_clock::now() - start, milliseconds(2000));
}

TEST_F(LauncherTest, AFailureOnTheWayToTheEndPressesTheRest) {
  LaunchOptions options = Workers(2, "trap '[ $RANK = 0 ] && exit 3' INT; trap '' TERM; " +
                                         Announce() + "while :; do sleep 0.05; done");
  options.grace = milliseconds(100);
  const pid_t launcher = Fork(options);
  ASSERT_TRUE(AllAnnounced(2));
  kill(launcher, SIGINT);
  EXPECT_EQ(ExitCode(launcher), 3);
}

// The disk was full: no checkpoint. Or a worker was killed while it was being saved.
TEST_F(LauncherTest, AFailureAfterTheSignalIsTheOutcome) {
  for (const auto& [end, code] :
       std::vector<std::pair<std::string, int>>{{"exit 2", 2}, {"kill -9 $$", 3}}) {
    LaunchOptions options = Workers(2, "trap '[ $RANK = 0 ] && " + end + "; exit 75' TERM; " +
                                           Announce() + "while :; do sleep 0.05; done");
    const pid_t launcher = Fork(options);
    ASSERT_TRUE(AllAnnounced(2));
    kill(launcher, SIGTERM);
    EXPECT_EQ(ExitCode(launcher), code);
    for (const char* name : {"pid.0", "pid.1"}) std::filesystem::remove(folder_ / name);
  }
}

TEST_F(LauncherTest, EndingAsAskedPressesNobody) {
  const std::string save =
      "trap \"echo > pressed\" TERM; sleep 0.3; sleep 0.3; echo > saved; exit 0";
  LaunchOptions options =
      Workers(3, "case $RANK in 0) trap '" + save + "' TERM;; 1) trap 'exit 143' TERM;; esac; " +
                     Announce() + "while :; do sleep 0.05; done");
  options.grace = milliseconds(50);
  const pid_t launcher = Fork(options);
  ASSERT_TRUE(AllAnnounced(3));
  kill(launcher, SIGTERM);
  EXPECT_EQ(ExitCode(launcher), 143);
  EXPECT_TRUE(std::filesystem::exists(folder_ / "saved"));
  EXPECT_FALSE(std::filesystem::exists(folder_ / "pressed"));
}

// Code 75: a checkpoint was saved. Whoever was asked, nobody has failed.
TEST_F(LauncherTest, StoppingWithACheckpointIsNoFailure) {
  const std::string loop = Announce() + "while :; do sleep 0.05; done";
  for (const int signal : {SIGTERM, SIGUSR1}) {
    LaunchOptions options = Workers(2, "trap 'sleep 0.2; exit 75' TERM USR1; " + loop);
    options.grace = milliseconds(50);
    const pid_t launcher = Fork(options);
    ASSERT_TRUE(AllAnnounced(2));
    kill(launcher, signal);
    EXPECT_EQ(ExitCode(launcher), 75);
    for (const char* name : {"pid.0", "pid.1"}) std::filesystem::remove(folder_ / name);
  }
  // A worker that agreed to stop ends a moment later than the one that was asked.
  LaunchOptions options = Workers(2, "sleep 0.$((RANK * 3)); exit 75");
  options.grace = milliseconds(50);
  EXPECT_EQ(RunWorkers(options), 75);
  // One that fails meanwhile counts.
  EXPECT_EQ(RunWorkers(Workers(2, "exit $((75 - 71 * RANK))")), 4);
}

TEST_F(LauncherTest, UserSignalGoesOnAndEndsNothing) {
  const pid_t launcher = Fork(Workers(
      2, "trap 'echo > usr1.$RANK; exit 0' USR1; " + Announce() + "while :; do sleep 0.05; done"));
  ASSERT_TRUE(AllAnnounced(2));
  kill(launcher, SIGUSR1);
  EXPECT_EQ(ExitCode(launcher), 0);
  EXPECT_TRUE(std::filesystem::exists(folder_ / "usr1.0"));
  EXPECT_TRUE(std::filesystem::exists(folder_ / "usr1.1"));
}

// The launcher must not add to what the terminal sends: of two workers, one has
// left the terminal's process group, so only the launcher could interrupt it.
TEST_F(LauncherTest, CtrlCIsNotPassedOnTwice) {
  const std::string loop =
      "trap 'echo > int.$RANK' INT; " + Announce() + "while [ ! -e stop ]; do sleep 0.05; done";
  LaunchOptions options = Workers(2, "[ $RANK = 0 ] || exec setsid /bin/sh -c \"$1\"; eval \"$1\"");
  options.command.push_back(loop);
  int terminal = -1;
  const pid_t launcher = forkpty(&terminal, nullptr, nullptr, nullptr);
  ASSERT_GE(launcher, 0);
  if (launcher == 0) _exit(RunWorkers(options));
  ASSERT_TRUE(AllAnnounced(2));
  ASSERT_EQ(write(terminal, "\x03", 1), 1);
  EXPECT_TRUE(Eventually([&] { return std::filesystem::exists(folder_ / "int.0"); }));
  std::this_thread::sleep_for(milliseconds(300));
  EXPECT_FALSE(std::filesystem::exists(folder_ / "int.1"));
  std::ofstream(folder_ / "stop") << "\n";
  EXPECT_EQ(ExitCode(launcher), 0);
  close(terminal);
}

TEST_F(LauncherTest, IgnoredSignalsStayIgnored) {
  signal(SIGHUP, SIG_IGN);
  const pid_t launcher = Fork(Workers(1, Announce() + "while [ ! -e stop ]; do sleep 0.05; done"));
  signal(SIGHUP, SIG_DFL);
  ASSERT_TRUE(AllAnnounced(1));
  kill(launcher, SIGHUP);
  std::this_thread::sleep_for(milliseconds(100));
  std::ofstream(folder_ / "stop") << "\n";
  EXPECT_EQ(ExitCode(launcher), 0);
}

TEST_F(LauncherTest, WorkersEndWhenTheLauncherIsKilled) {
  const pid_t launcher = Fork(Workers(3, Announce() + kSleep));
  ASSERT_TRUE(AllAnnounced(3));
  for (const pid_t pid : WorkerPids()) EXPECT_EQ(kill(pid, 0), 0);
  kill(launcher, SIGKILL);
  EXPECT_EQ(ExitCode(launcher), 1000 + SIGKILL);
  // TearDown waits for the workers to be gone.
}

TEST_F(LauncherTest, NoSignalIsLeftBlockedInWorkersOrHere) {
  LaunchOptions options;
  options.command = {"/bin/grep", "SigBlk", "/proc/self/status"};
  testing::internal::CaptureStdout();
  EXPECT_EQ(RunWorkers(options), 0);
  EXPECT_EQ(testing::internal::GetCapturedStdout(), "SigBlk:\t0000000000000000\n");
  sigset_t blocked;
  sigprocmask(SIG_BLOCK, nullptr, &blocked);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGCHLD}) {
    EXPECT_EQ(sigismember(&blocked, signal), 0) << signal;
  }
}

}  // namespace
}  // namespace cddp

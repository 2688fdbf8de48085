// Ranks are forked processes on loopback; each reports through a pipe what its
// Liveness tells it. The parent has no threads when it forks.
#include "ddp/liveness.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <map>
#include <set>
#include <thread>
#include <vector>

#include "cddp/status.h"

namespace cddp {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr uint64_t kToken = 0x1234'5678'9abc'def0;
constexpr int kReady = -1;  // in place of a lost rank: rank 0 has seen all ranks join

struct Report {
  int rank;
  int lost;
  char reason[64];
};

// What the parent tells a rank to do next.
enum Order : char { kLeave = 'l', kQuit = 'q', kDie = 'd' };

class LivenessTest : public testing::Test {
 protected:
  static constexpr int kRanks = 4;

  void SetUp() override {
    ASSERT_EQ(pipe2(reports_, O_CLOEXEC), 0);
    ASSERT_EQ(pipe2(port_pipe_, O_CLOEXEC), 0);
  }

  void TearDown() override {
    for (const auto& [rank, pid] : pids_) {
      kill(pid, SIGKILL);
      waitpid(pid, nullptr, 0);
    }
    for (const int fd : {reports_[0], reports_[1], port_pipe_[0], port_pipe_[1]}) close(fd);
    for (const auto& [rank, fd] : orders_) close(fd);
  }

  LivenessOptions Options(int rank) const {
    LivenessOptions options;
    options.rank = rank;
    options.world_size = kRanks;
    options.timeout = timeout_;
    options.on_lost = [this, rank](const Loss& loss) {
      Tell({rank, loss.rank, ""}, loss.reason);
      // The harshest thing a callback may do.
      _exit(3);
    };
    return options;
  }

  void Start(int rank) {
    int orders[2];
    ASSERT_EQ(pipe2(orders, O_CLOEXEC), 0);
    const pid_t pid = fork();
    ASSERT_GE(pid, 0);
    if (pid == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      RunRank(rank, orders[0]);
    }
    close(orders[0]);
    pids_[rank] = pid;
    orders_[rank] = orders[1];
  }

  void StartAll() {
    for (int rank = 0; rank < kRanks; ++rank) Start(rank);
    AwaitReady();
  }

  void AwaitReady() {
    const auto report = Next(milliseconds(20'000));
    ASSERT_TRUE(report);
    ASSERT_EQ(report->lost, kReady) << report->reason;
  }

  int Port() {
    if (port_ == 0) {
      EXPECT_EQ(read(port_pipe_[0], &port_, sizeof port_), ssize_t{sizeof port_});
    }
    return port_;
  }

  void Command(int rank, Order order) { ASSERT_EQ(write(orders_.at(rank), &order, 1), 1); }

  std::optional<Report> Next(milliseconds patience) const {
    pollfd entry{reports_[0], POLLIN, 0};
    if (poll(&entry, 1, static_cast<int>(patience.count())) <= 0) return std::nullopt;
    Report report;
    if (read(reports_[0], &report, sizeof report) != ssize_t{sizeof report}) return std::nullopt;
    return report;
  }

  // Expects that just these ranks, in any order, name `lost` within `patience`.
  void ExpectLost(int lost, std::set<int> survivors, milliseconds patience,
                  const std::string& reason) {
    const auto deadline = steady_clock::now() + patience;
    while (!survivors.empty()) {
      const auto left = std::chrono::ceil<milliseconds>(deadline - steady_clock::now());
      const auto report = Next(std::max(left, milliseconds(0)));
      ASSERT_TRUE(report) << survivors.size() << " ranks did not report";
      EXPECT_EQ(report->lost, lost) << "by rank " << report->rank << ": " << report->reason;
      EXPECT_NE(std::string(report->reason).find(reason), std::string::npos) << report->reason;
      EXPECT_EQ(survivors.erase(report->rank), 1U) << report->rank;
    }
  }

  void ExpectQuiet(milliseconds patience) {
    const auto report = Next(patience);
    if (report) FAIL() << report->rank << " lost " << report->lost << ": " << report->reason;
  }

  void ExpectCleanExits() {
    for (const auto& [rank, pid] : pids_) {
      int status = 0;
      ASSERT_EQ(waitpid(pid, &status, 0), pid);
      EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << "rank " << rank;
    }
    pids_.clear();
  }

  static std::set<int> AllBut(int lost) {
    std::set<int> ranks;
    for (int rank = 0; rank < kRanks; ++rank) {
      if (rank != lost) ranks.insert(rank);
    }
    return ranks;
  }

  milliseconds timeout_{10'000};
  std::map<int, pid_t> pids_;

 private:
  void Tell(Report report, const std::string& reason) const {
    reason.copy(report.reason, sizeof report.reason - 1);
    if (write(reports_[1], &report, sizeof report) != ssize_t{sizeof report}) _exit(9);
  }

  [[noreturn]] void RunRank(int rank, int orders) {
    try {
      std::unique_ptr<Liveness> liveness;
      if (rank == 0) {
        liveness = Liveness::Listen(Options(rank), kToken, "127.0.0.1");
        const int port = liveness->port();
        for (int copy = 0; copy < kRanks; ++copy) {
          if (write(port_pipe_[1], &port, sizeof port) != ssize_t{sizeof port}) _exit(9);
        }
      } else {
        liveness = Liveness::Connect(Options(rank), "127.0.0.1", Port(), kToken);
      }
      liveness->WaitForAll();
      if (rank == 0) Tell({rank, kReady, ""}, "");
      char order = 0;
      while (read(orders, &order, 1) == 1) {
        if (order == kLeave) liveness->Leave();
        if (order == kQuit) liveness.reset();
        if (order == kDie) _exit(0);
      }
    } catch (const std::exception& e) {
      Tell({rank, -2, ""}, e.what());
    }
    _exit(8);
  }

  int reports_[2];
  int port_pipe_[2];  // holds the port once for each rank and the parent
  std::map<int, int> orders_;
  int port_ = 0;
};

class LivenessOfEachRank : public LivenessTest, public testing::WithParamInterface<int> {};

TEST_P(LivenessOfEachRank, KilledIsNamedByAllWithinASecond) {
  StartAll();
  kill(pids_[GetParam()], SIGKILL);
  ExpectLost(GetParam(), AllBut(GetParam()), milliseconds(1000), "its connection closed");
}

TEST_P(LivenessOfEachRank, StoppedIsNamedByAllAndByItselfWhenItWakes) {
  timeout_ = milliseconds(1000);
  StartAll();
  ExpectQuiet(milliseconds(500));
  kill(pids_[GetParam()], SIGSTOP);
  ExpectLost(GetParam(), AllBut(GetParam()), timeout_ + milliseconds(1000), "silent for ");
  kill(pids_[GetParam()], SIGCONT);
  ExpectLost(GetParam(), {GetParam()}, milliseconds(1000), "silent for ");
}

TEST_P(LivenessOfEachRank, GivingUpIsALoss) {
  StartAll();
  Command(GetParam(), kQuit);
  ExpectLost(GetParam(), AllBut(GetParam()), milliseconds(1500), "gave up on an error");
}

INSTANTIATE_TEST_SUITE_P(Ranks, LivenessOfEachRank, testing::Values(0, 1, 2));

TEST_F(LivenessTest, NobodyIsNamedWhenAllLeave) {
  StartAll();
  for (const int rank : {2, 0, 3, 1}) Command(rank, kLeave);
  for (const int rank : {1, 2, 0, 3}) Command(rank, kDie);
  ExpectCleanExits();
  ExpectQuiet(milliseconds(0));
}

TEST_F(LivenessTest, ARankThatLeftIsNotMissedButOthersStillAre) {
  timeout_ = milliseconds(300);
  StartAll();
  Command(1, kLeave);
  Command(1, kDie);
  ExpectQuiet(milliseconds(600));
  kill(pids_[3], SIGKILL);
  ExpectLost(3, {0, 2}, milliseconds(1000), "its connection closed");
}

TEST_F(LivenessTest, NobodyIsNamedInALongQuietRun) {
  timeout_ = milliseconds(400);
  StartAll();
  ExpectQuiet(milliseconds(2000));
}

// The end of a rank must not be hidden by that of a rank that ended because of it.
TEST_F(LivenessTest, TheFirstLossIsNamedWhenAnotherRankReactsToIt) {
  StartAll();
  Command(1, kQuit);
  std::this_thread::sleep_for(milliseconds(30));
  kill(pids_[2], SIGKILL);
  ExpectLost(2, {0, 3}, milliseconds(1000), "its connection closed");
}

TEST_F(LivenessTest, TheFirstLossIsNamedWhenRankZeroReactsToIt) {
  StartAll();
  Command(0, kQuit);
  std::this_thread::sleep_for(milliseconds(30));
  kill(pids_[2], SIGKILL);
  ExpectLost(2, {1, 3}, milliseconds(1000), "its connection closed");
}

TEST_F(LivenessTest, NobodyIsBlamedWhenAllWereStopped) {
  timeout_ = milliseconds(400);
  StartAll();
  for (const auto& [rank, pid] : pids_) kill(pid, SIGSTOP);
  std::this_thread::sleep_for(milliseconds(1200));
  for (const auto& [rank, pid] : pids_) kill(pid, SIGCONT);
  ExpectQuiet(milliseconds(1000));
}

int ConnectTo(int port) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  EXPECT_EQ(connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  return fd;
}

size_t OpenFiles(pid_t pid) {
  const std::filesystem::directory_iterator files("/proc/" + std::to_string(pid) + "/fd");
  return static_cast<size_t>(std::distance(begin(files), end(files)));
}

TEST_F(LivenessTest, StrangersDoNoHarm) {
  timeout_ = milliseconds(1000);
  for (const int rank : {0, 1, 2}) Start(rank);
  const int port = Port();

  LivenessOptions options;
  options.rank = 3;
  options.world_size = kRanks;
  options.join_timeout = milliseconds(200);
  try {
    Liveness::Connect(options, "127.0.0.1", port, kToken + 1);
    FAIL() << "let in with the wrong token";
  } catch (const StatusError& e) {
    EXPECT_EQ(e.code(), StatusCode::kUnavailable);
    EXPECT_NE(std::string(e.what()).find("not let in"), std::string::npos) << e.what();
  }

  const std::string garbage[] = {"",
                                 "c",
                                 "GET / HTTP/1.1\r\n\r\n",
                                 std::string(100'000, '\xff'),
                                 std::string("cddplive") + std::string(16, '\0'),
                                 std::string(4000, '\0')};
  std::vector<int> held;
  for (size_t i = 0; i < 600; ++i) {
    const int fd = ConnectTo(port);
    const std::string& bytes = garbage[i % std::size(garbage)];
    send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (i % 3 == 0) {
      close(fd);
    } else {
      held.push_back(fd);
    }
  }
  ExpectQuiet(milliseconds(300));
  EXPECT_LT(OpenFiles(pids_[0]), 64U + 20U);

  Start(3);
  AwaitReady();
  for (const int fd : held) close(fd);
  ExpectQuiet(milliseconds(1500));
  kill(pids_[1], SIGKILL);
  ExpectLost(1, {0, 2, 3}, milliseconds(1000), "its connection closed");
}

// From here on all ranks live in this process.

LivenessOptions Quiet(int rank, int world_size) {
  LivenessOptions options;
  options.rank = rank;
  options.world_size = world_size;
  options.join_timeout = milliseconds(300);
  return options;
}

TEST(LivenessInProcessTest, WaitForAllNamesTheRanksThatDoNotJoinAndTellsTheOthers) {
  const auto zero = Liveness::Listen(Quiet(0, 4), kToken, "127.0.0.1");
  const auto two = Liveness::Connect(Quiet(2, 4), "127.0.0.1", zero->port(), kToken);
  try {
    zero->WaitForAll();
    FAIL() << "two ranks are missing";
  } catch (const StatusError& e) {
    EXPECT_EQ(e.code(), StatusCode::kPeerLost);
    EXPECT_STREQ(e.what(), "these ranks did not join within 0.3 s: 1, 3");
  }
  const auto loss = two->WaitForLoss(milliseconds(1000));
  ASSERT_TRUE(loss);
  EXPECT_EQ(loss->rank, 1);
  EXPECT_EQ(loss->reason, "it did not join within 0.3 s");
}

TEST(LivenessInProcessTest, ARankJoinsOnce) {
  const auto zero = Liveness::Listen(Quiet(0, 3), kToken, "127.0.0.1");
  const auto one = Liveness::Connect(Quiet(1, 3), "127.0.0.1", zero->port(), kToken);
  EXPECT_THROW(Liveness::Connect(Quiet(1, 3), "127.0.0.1", zero->port(), kToken), StatusError);
  EXPECT_THROW(Liveness::Connect(Quiet(2, 4), "127.0.0.1", zero->port(), kToken), StatusError);
  EXPECT_FALSE(zero->lost());
  EXPECT_FALSE(one->lost());
}

TEST(LivenessInProcessTest, LossIsKeptAndLeavingIsSafeAfterIt) {
  const auto zero = Liveness::Listen(Quiet(0, 3), kToken);
  const auto one = Liveness::Connect(Quiet(1, 3), "localhost", zero->port(), kToken);
  auto two = Liveness::Connect(Quiet(2, 3), "localhost", zero->port(), kToken);
  zero->WaitForAll();
  EXPECT_FALSE(one->WaitForLoss(milliseconds(50)));
  two.reset();
  for (const auto* rank : {zero.get(), one.get()}) {
    ASSERT_TRUE(rank->WaitForLoss(milliseconds(1000)));
    EXPECT_EQ(rank->lost()->rank, 2);
  }
  one->Leave();
  zero->Leave();
  EXPECT_TRUE(zero->lost());
  EXPECT_THROW(zero->WaitForAll(), StatusError);
}

TEST(LivenessInProcessTest, EndsPromptly) {
  const auto start = steady_clock::now();
  {
    const auto zero = Liveness::Listen(Quiet(0, 2), kToken);
    const auto one = Liveness::Connect(Quiet(1, 2), "localhost", zero->port(), kToken);
    zero->WaitForAll();
    one->Leave();
    zero->Leave();
    zero->Leave();
  }
  EXPECT_LT(steady_clock::now() - start, milliseconds(150));
}

TEST(LivenessInProcessTest, AloneThereIsNobodyToLose) {
  const auto zero = Liveness::Listen(Quiet(0, 1), kToken);
  zero->WaitForAll();
  EXPECT_FALSE(zero->WaitForLoss(milliseconds(50)));
}

TEST(LivenessInProcessTest, DescriptorsAreNotInherited) {
  const auto open_now = [] {
    std::set<int> fds;
    for (int fd = 0; fd < 200; ++fd) {
      if (fcntl(fd, F_GETFD) >= 0) fds.insert(fd);
    }
    return fds;
  };
  const std::set<int> before = open_now();
  const auto zero = Liveness::Listen(Quiet(0, 3), kToken);
  const auto one = Liveness::Connect(Quiet(1, 3), "localhost", zero->port(), kToken);
  int seen = 0;
  for (const int fd : open_now()) {
    if (before.contains(fd)) continue;
    ++seen;
    EXPECT_NE(fcntl(fd, F_GETFD) & FD_CLOEXEC, 0) << fd;
  }
  EXPECT_EQ(seen, 5);  // a listener, a connection's two ends, two threads' wake-ups
}

TEST(LivenessInProcessTest, SignalsAreLeftToTheOtherThreads) {
  const auto zero = Liveness::Listen(Quiet(0, 2), kToken);
  // A new thread blocks all signals until it has begun.
  EXPECT_FALSE(zero->WaitForLoss(milliseconds(50)));
  sigset_t user, before;
  sigemptyset(&user);
  sigaddset(&user, SIGUSR1);
  pthread_sigmask(SIG_BLOCK, &user, &before);
  // Would end the process if the liveness thread took it.
  kill(getpid(), SIGUSR1);
  const timespec patience{1, 0};
  EXPECT_EQ(sigtimedwait(&user, nullptr, &patience), SIGUSR1);
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

TEST(LivenessInProcessTest, OptionsAreChecked) {
  EXPECT_THROW(Liveness::Listen(Quiet(1, 2), kToken), StatusError);
  EXPECT_THROW(Liveness::Connect(Quiet(0, 2), "localhost", 1, kToken), StatusError);
  EXPECT_THROW(Liveness::Connect(Quiet(2, 2), "localhost", 1, kToken), StatusError);
  LivenessOptions hasty = Quiet(0, 2);
  hasty.timeout = milliseconds(0);
  EXPECT_THROW(Liveness::Listen(hasty, kToken), StatusError);
}

TEST(LivenessInProcessTest, ConnectNamesTheAddressThatDoesNotAnswer) {
  int port = 0;
  { port = Liveness::Listen(Quiet(0, 2), kToken, "127.0.0.1")->port(); }
  try {
    Liveness::Connect(Quiet(1, 2), "127.0.0.1", port, kToken);
    FAIL() << "nobody listens";
  } catch (const StatusError& e) {
    EXPECT_EQ(e.code(), StatusCode::kUnavailable);
    const std::string expected =
        "rank 1 could not join rank 0 at 127.0.0.1:" + std::to_string(port) +
        " within 0.3 s: Connection refused";
    EXPECT_EQ(e.what(), expected);
  }
}

}  // namespace
}  // namespace cddp

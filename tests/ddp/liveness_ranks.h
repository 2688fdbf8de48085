// Four ranks as forked processes on loopback; each reports through a pipe what
// its Liveness tells it. The parent must have no threads when it forks.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <exception>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>

#include "ddp/liveness.h"

namespace cddp {

inline constexpr uint64_t kToken = 0x1234'5678'9abc'def0;

class LivenessTest : public testing::Test {
 protected:
  using milliseconds = std::chrono::milliseconds;
  using steady_clock = std::chrono::steady_clock;

  static constexpr int kRanks = 4;
  static constexpr int kReady = -1;  // in place of a lost rank: rank 0 has seen all ranks join

  struct Report {
    int rank;
    int lost;
    char reason[64];
  };

  // What the parent tells a rank to do next.
  enum Order : char { kLeave = 'l', kQuit = 'q', kDie = 'd' };

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

}  // namespace cddp

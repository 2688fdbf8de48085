// Liveness with all ranks in this process: joining, leaving, options and resources.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <set>
#include <string>

#include "cddp/status.h"
#include "ddp/liveness.h"
#include "tests/ddp/liveness_ranks.h"

namespace cddp {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

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

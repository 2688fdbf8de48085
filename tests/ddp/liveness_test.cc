// Liveness between processes: who is named when ranks die, stop, give up or leave.
#include "ddp/liveness.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <iterator>
#include <string>
#include <thread>
#include <vector>

#include "cddp/status.h"
#include "ddp/liveness_messages.h"
#include "tests/core/random_bits.h"
#include "tests/ddp/liveness_ranks.h"

namespace cddp {
namespace {

using std::chrono::milliseconds;

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

INSTANTIATE_TEST_SUITE_P(Ranks, LivenessOfEachRank, testing::Values(0, 1, 2, 3));

// Reliability scorecard: 50 kills at any moment.
class LivenessAtAnyMoment : public LivenessTest, public testing::WithParamInterface<int> {};

TEST_P(LivenessAtAnyMoment, KilledIsNamedByAll) {
  RandomBits bits(static_cast<uint64_t>(GetParam()));
  const int victim = static_cast<int>(bits.Below(kRanks));
  StartAll();
  std::this_thread::sleep_for(std::chrono::microseconds(bits.Below(60'000)));
  kill(pids_[victim], SIGKILL);
  ExpectLost(victim, AllBut(victim), milliseconds(2000), "its connection closed");
}

INSTANTIATE_TEST_SUITE_P(Kills, LivenessAtAnyMoment, testing::Range(0, 50));

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

// A rank that has waited too long for rank 0's answer closes and knocks anew.
TEST_F(LivenessTest, AHelloOfAConnectionThatIsClosedAdmitsNobody) {
  for (const int rank : {0, 1, 2}) Start(rank);
  const int port = Port();
  const std::string hello = Hello(3, kRanks, kToken);
  for (int i = 0; i < 100; ++i) {
    const int fd = ConnectTo(port);
    const int together = 1;  // the bytes and the end
    setsockopt(fd, IPPROTO_TCP, TCP_CORK, &together, sizeof together);
    EXPECT_EQ(send(fd, hello.data(), hello.size(), MSG_NOSIGNAL), 24);
    close(fd);
  }
  ExpectQuiet(milliseconds(200));
  Start(3);
  AwaitReady();
  ExpectQuiet(milliseconds(200));
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
  for (size_t i = 0; i < 10'000; ++i) {
    const int fd = ConnectTo(port);
    const std::string& bytes = garbage[i % std::size(garbage)];
    send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (i % 3 == 0 || held.size() >= 400) {
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

}  // namespace
}  // namespace cddp

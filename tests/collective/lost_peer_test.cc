// A peer that leaves or falls silent: the others learn which, and nothing hangs.
#include <gtest/gtest.h>

#include <atomic>
#include <latch>
#include <string>

#include "tests/collective/rank_group.h"

namespace cddp {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::steady_clock;

constexpr const char* kWayNames[] = {"dense", "gather", "split"};

std::unique_ptr<Collective> MakeWay(const std::string& way, Transport* transport) {
  if (way == "dense") return MakeDenseCollective(transport);
  if (way == "gather") return GatherOver(transport, 0.1);
  std::unique_ptr<Collective> split;
  const Status status = MakeSplitCollective(transport, {.ratio = 0.1}, 1, &split);
  EXPECT_TRUE(status.ok()) << status.message();
  return split;
}

TEST(LostPeer, RankThatLeavesIsNamed) {
  for (const std::string way : kWayNames) {
    SCOPED_TRACE(way);
    for (int ranks : {2, 3, 5, 8}) {
      const int leaver = ranks / 2;
      const auto start = steady_clock::now();
      std::atomic<int> told = 0;
      RunRanks(ranks, [&](Transport& transport) {
        const auto collective = MakeWay(way, &transport);
        OwnedBucket bucket(0, {100, 20'000});
        for (uint64_t step = 0; step < 10; ++step) {
          if (step == 3 && transport.rank() == leaver) return;
          FillGradient(transport.rank(), step, &bucket);
          const Status status = collective->AllReduceMean(bucket.At(step));
          if (step < 3) {
            ASSERT_TRUE(status.ok()) << status.message();
            collective->EndStep();
            continue;
          }
          EXPECT_EQ(status.code(), StatusCode::kPeerLost);
          EXPECT_NE(status.message().find("rank " + std::to_string(leaver)), std::string::npos)
              << status.message();
          ++told;
          return;
        }
      });
      EXPECT_EQ(told, ranks - 1);
      EXPECT_LT(steady_clock::now() - start, seconds(15)) << "at once, not after the timeout";
    }
  }
}

// What a rank sent before it left still arrives.
TEST(LostPeer, LastMessagesOfALeaverArrive) {
  auto transports = MakeInProcessTransports(2, milliseconds(2'000));
  std::vector<float> mine = {1.0f};
  std::thread other([&] {
    std::vector<float> theirs = {2.0f};
    EXPECT_TRUE(transports[1]->AllReduceSum(theirs).ok());
    transports[1].reset();
  });
  EXPECT_TRUE(transports[0]->AllReduceSum(mine).ok());
  other.join();
  EXPECT_EQ(mine[0], 3.0f);
  EXPECT_EQ(transports[0]->AllReduceSum(mine).code(), StatusCode::kPeerLost);
}

TEST(LostPeer, RankThatFallsSilentIsNamed) {
  for (const std::string way : kWayNames) {
    SCOPED_TRACE(way);
    constexpr int kRanks = 3;
    constexpr int kSilent = 1;
    std::latch others_gave_up(kRanks - 1);
    const auto start = steady_clock::now();
    RunRanks(
        kRanks,
        [&](Transport& transport) {
          if (transport.rank() == kSilent) {
            others_gave_up.wait();
            return;
          }
          const auto collective = MakeWay(way, &transport);
          OwnedBucket bucket(0, {10});
          const Status status = collective->AllReduceMean(bucket.At(0));
          EXPECT_EQ(status.code(), StatusCode::kPeerLost);
          EXPECT_NE(status.message().find("rank 1 did not answer"), std::string::npos)
              << status.message();
          others_gave_up.arrive_and_wait();
        },
        milliseconds(200));
    EXPECT_GE(steady_clock::now() - start, milliseconds(200));
    EXPECT_LT(steady_clock::now() - start, seconds(15));
  }
}

// A slow rank is not a lost one.
TEST(LostPeer, SlowRankIsWaitedFor) {
  RunRanks(3, [](Transport& transport) {
    const auto gather = GatherOver(&transport, 0.1);
    OwnedBucket bucket(0, {10});
    for (uint64_t step = 0; step < 3; ++step) {
      if (transport.rank() == 2) std::this_thread::sleep_for(milliseconds(30));
      const Status status = gather->AllReduceMean(bucket.At(step));
      ASSERT_TRUE(status.ok()) << status.message();
      gather->EndStep();
    }
  });
}

}  // namespace
}  // namespace cddp

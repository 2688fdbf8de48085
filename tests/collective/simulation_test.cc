// Every schedule of a simulated network (simulated_network.h) ends well: with the right
// result, or with the name of the rank that was lost.
//
// One seed again, with what it did: --gtest_filter='Simulation.Every*' --gtest_random_seed=SEED
#include <gtest/gtest.h>

#include <algorithm>
#include <iostream>
#include <set>
#include <string>
#include <vector>

#include "tests/collective/simulated_network.h"
#include "tests/collective/simulated_training.h"

namespace cddp {
namespace {

constexpr uint64_t kSeeds = CDDP_SIMULATION_SEEDS / CDDP_CASE_DIVISOR;
constexpr int kMaxRanks = 5;

// A rank that waits in call n may name a peer that crashed, one whose message of this call
// is lost, or one that failed itself in an earlier call and so never came to this one. As
// the calls of a chain of such peers decrease, every chain ends at a crash or a loss.
bool MayName(const SimulatedNetwork& network, int self, const SimulatedNetwork::Failure& failure) {
  const auto& of_peer = network.failure(failure.peer);
  return network.crashed(failure.peer) || network.lost(failure.peer, self, failure.call) ||
         (of_peer && of_peer->call < failure.call);
}

void ExpectEndsWell(const SimulatedNetwork& network, int rank, const Outcome& outcome,
                    const Outcome& undisturbed) {
  // All that it finished is right, whatever came then.
  ASSERT_LE(outcome.buckets.size(), undisturbed.buckets.size());
  for (size_t b = 0; b < outcome.buckets.size(); ++b) {
    EXPECT_TRUE(SameBits(outcome.buckets[b], undisturbed.buckets[b])) << "result " << b;
  }
  for (size_t s = 0; s < outcome.memory.size(); ++s) {
    EXPECT_EQ(outcome.memory[s], undisturbed.memory[s]) << "before step " << s;
    EXPECT_EQ(outcome.owned[s], undisturbed.owned[s]) << "before step " << s;
  }
  if (network.crashed(rank)) {
    EXPECT_FALSE(outcome.status.ok()) << "a crash is not passed over";
    return;
  }
  const auto& failure = network.failure(rank);
  EXPECT_EQ(outcome.status.ok(), !failure) << outcome.status.message();
  if (!failure) {
    EXPECT_EQ(outcome.memory.size(), kTrainingSteps + 1);
    return;
  }
  EXPECT_EQ(outcome.status.code(), StatusCode::kPeerLost);
  EXPECT_NE(outcome.status.message().find(failure->message), std::string::npos)
      << outcome.status.message();
  EXPECT_TRUE(MayName(network, rank, *failure)) << failure->message;
}

Task TaskOf(uint64_t seed) {
  RandomBits bits(~seed);
  return {.collective = bits.Below(std::size(kCollectives)),
          .memory = bits.Below(std::size(kMemories)),
          .ranks = 2 + static_cast<int>(bits.Below(kMaxRanks - 1))};
}

struct Totals {
  HappeningCounts happened{};
  uint64_t finished = 0;  // ranks
  uint64_t failed = 0;
};

void RunSeed(uint64_t seed, CooperativeThreads* threads, Totals* totals) {
  const Task task = TaskOf(seed);
  SCOPED_TRACE(::testing::Message()
               << "seed " << seed << ": " << kCollectives[task.collective] << ", memory "
               << kMemories[task.memory] << ", " << task.ranks << " ranks");
  const std::vector<Outcome>& undisturbed = Undisturbed(task);
  std::vector<Outcome> outcomes(static_cast<size_t>(task.ranks));
  SimulatedNetwork network(task.ranks, seed, threads);
  const Status status = network.Run([&](Transport& transport) {
    outcomes[static_cast<size_t>(transport.rank())] = Train(task, transport);
  });
  ASSERT_TRUE(status.ok()) << status.message();
  const bool harmless = network.counts()[kCrashed] + network.counts()[kLost] == 0;
  for (int r = 0; r < task.ranks; ++r) {
    SCOPED_TRACE(::testing::Message() << "rank " << r);
    const auto self = static_cast<size_t>(r);
    ExpectEndsWell(network, r, outcomes[self], undisturbed[self]);
    EXPECT_FALSE(harmless && network.failure(r)) << "a slow rank is not a lost one";
    totals->finished += outcomes[self].status.ok();
    totals->failed += network.failure(r).has_value();
  }
  for (size_t h = 0; h < kHappenings; ++h) totals->happened[h] += network.counts()[h];
}

TEST(Simulation, EverySeedEndsRightOrNamesTheLostRank) {
  const auto only = static_cast<uint64_t>(std::max(0, GTEST_FLAG_GET(random_seed)));
  CooperativeThreads threads(kMaxRanks);
  Totals totals;
  const uint64_t last = only > 0 ? only : kSeeds;
  for (uint64_t seed = std::max<uint64_t>(only, 1); seed <= last; ++seed) {
    RunSeed(seed, &threads, &totals);
    if (HasFailure()) return;
  }
  std::cout << (only > 0 ? 1 : kSeeds) << " seeds:";
  for (size_t h = 0; h < kHappenings; ++h) {
    std::cout << " " << totals.happened[h] << " " << kHappeningNames[h] << ",";
    EXPECT_TRUE(only > 0 || totals.happened[h] > 0) << "no " << kHappeningNames[h];
  }
  std::cout << " " << totals.finished << " ranks right, " << totals.failed
            << " told of a lost rank\n";
}

// The digest of a seed's schedule.
uint64_t TraceOf(uint64_t seed, CooperativeThreads* threads) {
  const Task task = TaskOf(seed);
  SimulatedNetwork network(task.ranks, seed, threads);
  const Status status = network.Run([&](Transport& transport) { Train(task, transport); });
  EXPECT_TRUE(status.ok()) << status.message();
  return network.trace();
}

TEST(Simulation, SameSeedIsTheSameSchedule) {
  CooperativeThreads threads(kMaxRanks);
  std::set<uint64_t> traces;
  constexpr uint64_t kFew = 100;
  for (uint64_t seed = 1; seed <= kFew; ++seed) {
    const uint64_t trace = TraceOf(seed, &threads);
    EXPECT_EQ(TraceOf(seed, &threads), trace) << "seed " << seed;
    traces.insert(trace);
  }
  EXPECT_EQ(traces.size(), kFew);
}

// The simulation sees a rank that waits for ever, and lets go of it.
TEST(Simulation, WithoutTimeoutsALossIsADeadlock) {
  CooperativeThreads threads(kMaxRanks);
  uint64_t deadlocks = 0;
  for (uint64_t seed = 1; seed <= 100; ++seed) {
    const Task task = TaskOf(seed);
    SimulatedNetwork network(task.ranks, seed, &threads, /*timeouts=*/false);
    const Status status = network.Run([&](Transport& transport) { Train(task, transport); });
    if (status.ok()) continue;
    ++deadlocks;
    EXPECT_GT(network.counts()[kCrashed] + network.counts()[kLost], 0u) << "seed " << seed;
    EXPECT_NE(status.message().find("wait: rank "), std::string::npos) << status.message();
  }
  EXPECT_GT(deadlocks, 0u);
}

}  // namespace
}  // namespace cddp

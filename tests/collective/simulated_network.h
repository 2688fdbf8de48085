// A network on a virtual clock, for ranks that take turns (cooperative_threads.h).
//
// All that happens is an event in a queue ordered by (virtual time, order of scheduling).
// A rank that calls its transport computes for a random time, posts its messages and waits
// until all those of its peers are there; nothing sleeps. One generator, seeded once, draws
// every number, so that a seed is a schedule, to the event.
//
// Messages are delayed, so that they overtake each other between pairs of ranks and, from
// call to call, within a pair. They are dropped and sent again, and duplicated. In some
// runs more goes wrong: a rank crashes, at a random time or instead of posting one of its
// messages, or one message is lost for good. Peers of a crashed rank are told, or (a
// machine without power) only notice that nothing comes.
//
// What a rank may rely on: without crash or loss no wait times out. A wait that does names
// the rank waited for, as does one for a rank that is known to be gone.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "cddp/status.h"
#include "cddp/transport.h"
#include "tests/collective/cooperative_threads.h"
#include "tests/core/random_bits.h"

namespace cddp {

using VirtualTime = int64_t;  // microseconds

enum Happening : size_t {
  kPosted,
  kDropped,         // and sent again
  kDuplicated,      // arrived a second time
  kReordered,       // arrived after a message to the same rank that was posted later
  kOvertaken,       // of those, after one of the same sender and a later call
  kCrashed,         // a rank
  kCrashedPosting,  // of those, with some messages of a call posted
  kLost,            // never arrives, though posted
  kTimedOut,        // a wait that ended so
  kTold,            // a wait that ended because the peer was known to be gone
  kHappenings
};

inline constexpr std::array<const char*, kHappenings> kHappeningNames = {
    "messages", "drops",           "duplicates", "reordered", "overtaken",
    "crashes",  "crashes posting", "losses",     "timeouts",  "waits for ranks gone"};

using HappeningCounts = std::array<uint64_t, kHappenings>;

class SimulatedNetwork {
 public:
  // A wait that failed: for a message of `peer` of call number `call`.
  struct Failure {
    int peer = 0;
    uint64_t call = 0;
    std::string message;
  };

  // `threads`: at least as many as ranks, for one run at a time. Without `timeouts` ranks
  // wait for ever.
  SimulatedNetwork(int ranks, uint64_t seed, CooperativeThreads* threads, bool timeouts = true);

  // Calls rank_main for every rank and returns when all have ended; once per object.
  // Internal, naming the ranks, when no event is left while some wait, or when events do
  // not come to an end.
  Status Run(const std::function<void(Transport&)>& rank_main);

  bool crashed(int rank) const { return At(rank).crashed; }
  const std::optional<Failure>& failure(int rank) const { return At(rank).failure; }
  // Whether the message of a call of the ranks can never arrive though it was posted.
  bool lost(int from, int to, uint64_t call) const { return lost_.contains({from, to, call}); }

  const HappeningCounts& counts() const { return counts_; }
  // A digest of all that happened and when: equal for equal schedules.
  uint64_t trace() const { return trace_; }

 private:
  friend class SimulatedTransport;
  using Bytes = std::vector<std::byte>;
  using Key = std::tuple<int, int, uint64_t>;  // from, to, call

  struct Message {
    Key key;
    uint64_t number = 0;  // in the order of posting
    Bytes bytes;
  };

  struct Rank {
    uint64_t call = 0;     // the last that it began
    bool waiting = false;  // has posted, and lacks messages
    bool crashed = false;
    uint64_t posted = 0;         // messages
    uint64_t latest_number = 0;  // of the messages that arrived
    std::vector<Bytes> outgoing;
    std::set<int> gone;  // peers that it knows to have left
    Status outcome;      // of its call
    std::optional<Failure> failure;
  };

  Rank& At(int rank) { return ranks_[static_cast<size_t>(rank)]; }
  const Rank& At(int rank) const { return ranks_[static_cast<size_t>(rank)]; }
  int size() const { return static_cast<int>(ranks_.size()); }

  // Called by a rank's program: one call of its transport.
  Status Call(int self, std::vector<Bytes> outgoing, std::vector<Bytes>* received);

  void After(VirtualTime delay, std::function<void()> event);
  void Post(int self);
  void Send(std::shared_ptr<const Message> message, int drops);
  void Deliver(const Message& message);
  std::vector<int> Missing(int self) const;
  void Check(int self);
  void TimeOut(int self, uint64_t call);
  void Fail(int self, int peer, const char* reason);
  void Finish(int self, Status outcome);
  void Crash(int self);
  void TellPeersOf(int self);
  Status Stop(const char* reason);
  void Record(Happening happening, const Key& key);

  CooperativeThreads* threads_;
  const bool timeouts_;
  RandomBits bits_;
  VirtualTime now_ = 0;
  uint64_t scheduled_ = 0;
  std::map<std::pair<VirtualTime, uint64_t>, std::function<void()>> events_;
  std::vector<Rank> ranks_;
  std::map<Key, Bytes> arrived_;
  std::map<std::pair<int, int>, uint64_t> latest_call_;  // that arrived, by pair
  std::set<Key> lost_;
  bool stopped_ = false;

  uint64_t drop_percent_ = 0;
  bool silent_ = false;  // a crash that nobody is told of
  int crash_rank_ = -1;
  std::optional<VirtualTime> crash_time_;
  std::optional<uint64_t> crash_message_;  // of the rank, which crashes instead of posting it
  std::optional<uint64_t> lost_message_;   // of all messages

  HappeningCounts counts_{};
  uint64_t trace_ = 0;
};

}  // namespace cddp

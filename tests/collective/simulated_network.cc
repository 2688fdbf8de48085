#include "tests/collective/simulated_network.h"

#include <algorithm>

#include "tests/collective/simulated_transport.h"

namespace cddp {
namespace {

constexpr VirtualTime kMaxCompute = 10'000;
constexpr VirtualTime kMaxDelay = 20'000;
constexpr VirtualTime kResendAfter = 30'000;
constexpr int kMaxDrops = 3;  // of one message
constexpr VirtualTime kMaxLatency = kMaxDrops * kResendAfter + kMaxDelay;
constexpr VirtualTime kTimeout = 250'000;
// Whoever posts the messages of call n has all those of call n-1: everybody had posted
// them. So everybody gets theirs within a latency, computes, and posts those of call n,
// which arrive within another one. Only a crash or a loss makes a wait longer than that.
static_assert(kTimeout > 2 * kMaxLatency + kMaxCompute);

constexpr uint64_t kMaxEvents = 1'000'000;  // a run has some thousands

}  // namespace

SimulatedNetwork::SimulatedNetwork(int ranks, uint64_t seed, CooperativeThreads* threads,
                                   bool timeouts)
    : threads_(threads), timeouts_(timeouts), bits_(seed), ranks_(static_cast<size_t>(ranks)) {
  constexpr uint64_t kDropPercents[] = {0, 3, 20};
  drop_percent_ = kDropPercents[bits_.Below(3)];
  silent_ = bits_.Below(2) == 0;
  const auto peers = static_cast<uint64_t>(ranks - 1);
  const auto any_rank = [&] { return static_cast<int>(bits_.Below(peers + 1)); };
  // Half of the runs lose nothing. The others mostly do, before they end.
  switch (bits_.Below(6)) {
    case 0:
      crash_rank_ = any_rank();
      crash_time_ = static_cast<VirtualTime>(bits_.Below(300'000));
      break;
    case 1:
      crash_rank_ = any_rank();
      crash_message_ = bits_.Below(8 * peers);
      break;
    case 2:
      lost_message_ = bits_.Below(8 * peers * (peers + 1));
      break;
    default:
      break;
  }
}

Status SimulatedNetwork::Run(const std::function<void(Transport&)>& rank_main) {
  for (int r = 0; r < size(); ++r) {
    threads_->Assign(r, [this, r, &rank_main] {
      SimulatedTransport transport(this, r);
      rank_main(transport);
      if (!At(r).crashed) TellPeersOf(r);
    });
    After(0, [this, r] { threads_->Run(r); });
  }
  if (crash_time_) After(*crash_time_, [this] { Crash(crash_rank_); });
  for (uint64_t count = 0; !events_.empty(); ++count) {
    if (count == kMaxEvents) return Stop("events without end");
    auto event = events_.extract(events_.begin());
    now_ = event.key().first;
    event.mapped()();
  }
  for (int r = 0; r < size(); ++r) {
    if (!threads_->ended(r)) return Stop("deadlock: no event is left");
  }
  return Status::Ok();
}

// Ends all programs, whatever they wait for.
Status SimulatedNetwork::Stop(const char* reason) {
  stopped_ = true;
  std::string message = std::string(reason) + "; these wait:";
  for (int r = 0; r < size(); ++r) {
    if (threads_->ended(r)) continue;
    message += " rank " + std::to_string(r) + " in call " + std::to_string(At(r).call);
    At(r).outcome = Status::Internal(reason);
    threads_->Run(r);
  }
  return Status::Internal(message);
}

void SimulatedNetwork::After(VirtualTime delay, std::function<void()> event) {
  events_[{now_ + delay, scheduled_++}] = std::move(event);
}

Status SimulatedNetwork::Call(int self, std::vector<Bytes> outgoing, std::vector<Bytes>* received) {
  Rank& rank = At(self);
  if (stopped_ || rank.crashed || rank.failure) return Status::Internal("call after the end");
  ++rank.call;
  rank.outgoing = std::move(outgoing);
  After(static_cast<VirtualTime>(bits_.Below(kMaxCompute)), [this, self] { Post(self); });
  threads_->Yield(self);
  CDDP_RETURN_IF_ERROR(rank.outcome);
  received->assign(ranks_.size(), {});
  for (int r = 0; r < size(); ++r) {
    if (r == self) continue;
    (*received)[static_cast<size_t>(r)] = arrived_.at({r, self, rank.call});
  }
  return Status::Ok();
}

// Begins with any rank: which have their message already when the sender crashes is chance.
void SimulatedNetwork::Post(int self) {
  Rank& rank = At(self);
  if (rank.crashed) return;
  const int first = static_cast<int>(bits_.Below(ranks_.size()));
  uint64_t posted = 0;
  for (int i = 0; i < size(); ++i) {
    const int to = (first + i) % size();
    if (to == self) continue;
    if (self == crash_rank_ && crash_message_ == rank.posted) {
      if (posted > 0) Record(kCrashedPosting, {self, to, rank.call});
      return Crash(self);
    }
    const auto message = std::make_shared<const Message>(
        Message{{self, to, rank.call}, counts_[kPosted], rank.outgoing[static_cast<size_t>(to)]});
    Record(kPosted, message->key);
    ++rank.posted;
    ++posted;
    if (lost_message_ == message->number) {
      Record(kLost, message->key);
      lost_.insert(message->key);
    } else {
      Send(message, 0);
    }
  }
  rank.waiting = true;
  if (timeouts_) After(kTimeout, [this, self, call = rank.call] { TimeOut(self, call); });
  Check(self);
}

void SimulatedNetwork::Send(std::shared_ptr<const Message> message, int drops) {
  const int from = std::get<0>(message->key);
  if (At(from).crashed) {  // and so does not send it again
    Record(kLost, message->key);
    lost_.insert(message->key);
    return;
  }
  if (drops < kMaxDrops && bits_.Below(100) < drop_percent_) {
    Record(kDropped, message->key);
    After(kResendAfter, [this, message, drops] { Send(message, drops + 1); });
    return;
  }
  const int copies = bits_.Below(20) == 0 ? 2 : 1;
  for (int c = 0; c < copies; ++c) {
    // Most are fast, so that the few slow ones are overtaken by later calls.
    const VirtualTime longest = bits_.Below(8) == 0 ? kMaxDelay : kMaxDelay / 20;
    const auto delay = static_cast<VirtualTime>(bits_.Below(static_cast<uint64_t>(longest)));
    After(delay, [this, message] { Deliver(*message); });
  }
}

void SimulatedNetwork::Deliver(const Message& message) {
  const auto [from, to, call] = message.key;
  if (!arrived_.try_emplace(message.key, message.bytes).second) {
    return Record(kDuplicated, message.key);
  }
  uint64_t& latest_call = latest_call_[{from, to}];
  uint64_t& latest_number = At(to).latest_number;
  if (call < latest_call) Record(kOvertaken, message.key);
  if (message.number < latest_number) Record(kReordered, message.key);
  latest_call = std::max(latest_call, call);
  latest_number = std::max(latest_number, message.number);
  Check(to);
}

std::vector<int> SimulatedNetwork::Missing(int self) const {
  std::vector<int> missing;
  for (int r = 0; r < size(); ++r) {
    if (r != self && !arrived_.contains({r, self, At(self).call})) missing.push_back(r);
  }
  return missing;
}

// Lets the rank go on if it has all that it waits for, or will not get it.
void SimulatedNetwork::Check(int self) {
  Rank& rank = At(self);
  if (!rank.waiting) return;
  const std::vector<int> missing = Missing(self);
  if (missing.empty()) return Finish(self, Status::Ok());
  for (int peer : missing) {
    if (!rank.gone.contains(peer)) continue;
    Record(kTold, {peer, self, rank.call});
    return Fail(self, peer, " has left the group");
  }
}

void SimulatedNetwork::TimeOut(int self, uint64_t call) {
  if (!At(self).waiting || At(self).call != call) return;
  const int peer = Missing(self).front();
  Record(kTimedOut, {peer, self, call});
  Fail(self, peer, " did not answer in time");
}

void SimulatedNetwork::Fail(int self, int peer, const char* reason) {
  const std::string message = "rank " + std::to_string(peer) + reason;
  At(self).failure = Failure{peer, At(self).call, message};
  Finish(self, Status::PeerLost(message));
}

void SimulatedNetwork::Finish(int self, Status outcome) {
  At(self).waiting = false;
  At(self).outcome = std::move(outcome);
  threads_->Run(self);
}

void SimulatedNetwork::Crash(int self) {
  if (threads_->ended(self)) return;
  At(self).crashed = true;
  Record(kCrashed, {self, self, At(self).call});
  if (!silent_) TellPeersOf(self);
  Finish(self, Status::Internal("crashed"));
}

// After all that the rank sent has arrived, as the end of a connection does.
void SimulatedNetwork::TellPeersOf(int self) {
  for (int r = 0; r < size(); ++r) {
    if (r == self) continue;
    const auto later = static_cast<VirtualTime>(bits_.Below(kMaxDelay));
    After(kMaxLatency + later, [this, self, r] {
      At(r).gone.insert(self);
      Check(r);
    });
  }
}

void SimulatedNetwork::Record(Happening happening, const Key& key) {
  ++counts_[happening];
  const auto [from, to, call] = key;
  for (uint64_t part : {static_cast<uint64_t>(happening), static_cast<uint64_t>(now_),
                        static_cast<uint64_t>(from), static_cast<uint64_t>(to), call}) {
    trace_ = RandomBits(trace_ ^ part)();
  }
}

}  // namespace cddp

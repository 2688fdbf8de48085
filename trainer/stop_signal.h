// SIGTERM and SIGUSR1 as a wish to stop between two steps, agreed on by all workers.
#pragma once

#include <chrono>
#include <csignal>
#include <cstdint>

#include "ddp/world.h"

namespace cddp {

// While it lives, these signals are noted instead of ending the process; what they did
// before comes back at its end. One at a time. What came too late for one is there for the next:
// of several trainings the next one stops.
class StopSignal {
 public:
  StopSignal();
  ~StopSignal();
  StopSignal(const StopSignal&) = delete;
  StopSignal& operator=(const StopSignal&) = delete;

  // The first signal that came, or 0.
  static int received();

 private:
  struct sigaction term_before_;
  struct sigaction usr1_before_;
};

// Workers get signals at different moments, or only one of them does; but all must stop
// after the same step. To ask in every step would cost a round trip each: so they ask
// about once a second, and more rarely where asking takes long (at most a fiftieth of the
// time, but every ten seconds in any case). Longer steps ask every time, and so does whatever
// takes long between two steps.
class StopAgreement {
 public:
  explicit StopAgreement(World& world) : world_(world) {}

  // To be called after each step; `now`, the same on every worker: asks in any case. The signal
  // that some worker has got, or 0; the same on every worker. Collective.
  int AfterStep(bool now);

 private:
  using Clock = std::chrono::steady_clock;

  World& world_;
  const StopSignal signal_;
  uint64_t steps_ = 0;  // since the last time
  uint64_t every_ = 1;
  Clock::time_point last_ = Clock::now();
};

}  // namespace cddp

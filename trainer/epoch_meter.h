// EpochMeter: what a worker has counted in an epoch, and the time and traffic of that.
//
//   meter.Begin();
//   for each step: meter.Add(its tally);
//   meter.End(world);
//
// Evaluations and checkpoints between two steps are excluded. An epoch that was interrupted is
// counted on from what its checkpoint says.
//
// One thread.
#pragma once

#include <chrono>
#include <functional>

#include "ddp/socket_bytes.h"
#include "ddp/world.h"
#include "trainer/tally.h"
#include "trainer/training_progress.h"

namespace cddp {

class EpochMeter {
 public:
  // Over all workers.
  struct Totals {
    Tally trained;
    double seconds = 0;  // of a worker, in the mean
    double sent = 0;     // bytes by a worker, in the mean
    double received = 0;
  };

  // `traffic` says what the gradients' sockets have carried.
  explicit EpochMeter(std::function<TrafficBytes()> traffic) : traffic_(std::move(traffic)) {}

  // The next epoch is one that this worker has begun already, with these sums.
  void GoOn(const EpochSums& before) {
    before_ = before;
    goes_on_ = true;
  }
  bool goes_on() const { return goes_on_; }

  void Begin();
  void Add(const Tally& step) { tally_ += step; }
  // What was no training, since Begin.
  void Exclude(std::chrono::nanoseconds time, const TrafficBytes& traffic);

  const Tally& tally() const { return tally_; }
  // This worker's part of the epoch so far.
  EpochSums Now() const;

  // The next epoch is counted from nothing. Collective.
  Totals End(World& world);

 private:
  using Clock = std::chrono::steady_clock;

  std::function<TrafficBytes()> traffic_;
  EpochSums before_;
  bool goes_on_ = false;
  Tally tally_;
  // Later and more than it was, by what is excluded.
  Clock::time_point start_;
  TrafficBytes start_traffic_;
};

}  // namespace cddp

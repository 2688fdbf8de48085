#include "trainer/epoch_meter.h"

#include <vector>

#include "trainer/evaluation.h"

namespace cddp {

void EpochMeter::Begin() {
  tally_ = before_.tally;
  start_traffic_ = traffic_();
  start_ = Clock::now();
}

void EpochMeter::Exclude(std::chrono::nanoseconds time, const TrafficBytes& traffic) {
  start_ += time;
  start_traffic_ += traffic;
}

EpochSums EpochMeter::Now() const {
  const double seconds = std::chrono::duration<double>(Clock::now() - start_).count();
  const TrafficBytes traffic = traffic_() - start_traffic_;
  return {.tally = tally_,
          .sent = before_.sent + static_cast<double>(traffic.sent),
          .received = before_.received + static_cast<double>(traffic.received),
          .seconds = before_.seconds + seconds};
}

EpochMeter::Totals EpochMeter::End(World& world) {
  const double seconds = Now().seconds;
  // After the barrier everything that was sent has arrived.
  world.Barrier();
  const EpochSums own = Now();
  std::vector<double> sums{own.sent, own.received, seconds};
  world.Sum(sums);
  before_ = {};
  goes_on_ = false;
  return {.trained = SumOverWorkers(world, tally_),
          .seconds = sums[2] / world.size(),
          .sent = sums[0] / world.size(),
          .received = sums[1] / world.size()};
}

}  // namespace cddp

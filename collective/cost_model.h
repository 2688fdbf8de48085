// The cost model of `auto`: how long a step's synchronisation takes, from what was
// measured of this network and this machine (probe.h). docs/algorithms.md derives it.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "cddp/plan.h"

namespace cddp {

struct PlannedBucket {
  uint32_t elements = 0;
  size_t entries = 0;  // that one rank sends at the most
};

// Measured points of a time that grows with a size; between them a straight line, beyond
// the last one the line through the last two.
class Curve {
 public:
  void Add(double size, double seconds);
  double At(double size) const;
  std::span<const std::array<double, 2>> points() const { return points_; }

 private:
  std::vector<std::array<double, 2>> points_;  // size, seconds; ascending in both
};

struct MachineCosts {
  int world_size = 1;
  Curve exchange;  // by the bytes that a rank sends to all others together
  Curve dense;     // allreduce, by its bytes
  // Seconds.
  double select_per_element = 0;
  double sweep_per_element = 0;  // of a dense step, for memories that stay (dgc)
  double sum_per_element = 0;    // decoded entries into a bucket (sparse_sum.h)
  double encode_per_entry = 0;
  double decode_per_entry = 0;
  double bytes_per_entry = 0;
};

// Of one bucket: what a rank does alone, and then with the others.
struct StageSeconds {
  double prepare = 0;
  double exchange = 0;
};

StageSeconds Predict(const MachineCosts& costs, double owner_budget, const PlannedBucket& bucket,
                     Way way);

// Until the last bucket is done, when all gradients are there at once: the stages of
// consecutive buckets overlap (a flow shop of two machines, Johnson 1954).
double StepSeconds(std::span<const StageSeconds> buckets);

struct PredictedPlan {
  std::vector<Way> ways;  // by bucket
  double seconds = 0;
};

// The plans worth trying: all buckets one way, for each way, and the mixture that the
// model thinks best if it is better than all of them. Fastest first.
std::vector<PredictedPlan> CandidatePlans(const MachineCosts& costs, double owner_budget,
                                          std::span<const PlannedBucket> buckets);

}  // namespace cddp

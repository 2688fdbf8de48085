// The steps of `cddp bench sync`: synthetic gradients through a collective, as backward
// would hand them over, and what of it the memory and the network need at the least.
#pragma once

#include <condition_variable>
#include <mutex>
#include <nlohmann/json.hpp>
#include <vector>

#include "bench/logged_transport.h"
#include "bench/sync_bench.h"
#include "cddp/collective.h"
#include "cddp/pipeline.h"
#include "core/aligned.h"
#include "core/worker_pool.h"
#include "ddp/c10d_transport.h"
#include "ddp/world.h"

namespace cddp {

class SyncSteps {
 public:
  // Collective, as all that follows.
  SyncSteps(const SyncBenchOptions& options, World& world);

  // All steps; returns the report (rank 0's is the one to keep). Throws StatusError.
  nlohmann::json Run();

 private:
  struct Piece {
    AlignedFloats values;
    std::vector<BucketParameter> parameters;
  };

  // Of the timed steps, on this rank but for the times of a step.
  struct Measured {
    std::vector<double> step_ms;  // means over the ranks
    double sent = 0;              // bytes, on sockets
    double nic_bytes = 0;         // sent, and packets; 0 without an interface of its own
    double nic_packets = 0;
    CollectiveTimes before, after;
  };

  // Until the collective has settled.
  void WarmUp();
  Measured Measure();
  nlohmann::json Report(const Measured& measured);
  // Seconds from the barrier until all buckets are synchronised and the step has ended.
  double Step();
  void FillGradients();
  void Submit(uint32_t bucket);
  double MeanOverRanks(double value);
  double FloorSeconds();  // of memory, all ranks at once
  double BareSeconds();   // of the exchanges, alone
  nlohmann::json PlanReport() const;
  // Whether bytes are counted at the interface too.
  bool has_interface() const;

  const SyncBenchOptions& options_;
  World& world_;
  C10dTransport transport_;
  LoggedTransport logged_;
  std::unique_ptr<Collective> collective_;
  std::vector<Piece> buckets_;
  size_t elements_ = 0;
  AlignedFloats source_;  // of gradients: each step begins elsewhere in it
  uint64_t step_ = 0;

  std::mutex mutex_;
  std::condition_variable changed_;
  size_t done_ = 0;    // buckets of this step
  Pipeline pipeline_;  // last: its threads use the rest
};

}  // namespace cddp

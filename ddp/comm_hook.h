// The seam between PyTorch's Reducer and our collectives: takes each bucket as
// soon as backward has filled it, and synchronises it on a thread of its own
// while backward goes on.
//
// One FIFO thread issues all gradient collectives, in the order in which the
// Reducer hands buckets over, which is the same on every rank.
#pragma once

#include <torch/torch.h>

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <mutex>
#include <string>
#include <thread>
#include <torch/csrc/distributed/c10d/comm.hpp>
#include <unordered_map>

#include "cddp/bucket.h"
#include "cddp/collective.h"

namespace cddp {

class CommHook final : public c10d::CommHookInterface {
 public:
  // `names` gives the name of each parameter, by its tensor. `collective` must
  // outlive the hook. `weight_decay` times the parameter is added to its gradient.
  CommHook(Collective* collective, std::unordered_map<const void*, std::string> names,
           double weight_decay);
  ~CommHook() override;

  // Called under the Reducer's lock: enqueues only, throws nothing (the Reducer
  // could not be used again). Errors come out of backward(), by way of the future.
  c10::intrusive_ptr<c10::ivalue::Future> runHook(c10d::GradBucket& bucket) override;
  at::Tensor parseHookResult(const c10::IValue& result) override { return result.toTensor(); }

  // The step that buckets handed over from now on belong to.
  void set_step(uint64_t step) { step_ = step; }

  // The first error of a collective or of the hook itself; after it every bucket
  // fails alike.
  Status status() const;

 private:
  struct Job {
    uint64_t step;
    uint32_t index;
    at::Tensor buffer;
    std::vector<BucketParameter> parameters;
    std::vector<at::Tensor> decayed;  // the parameters themselves, with weight decay
    c10::intrusive_ptr<c10::ivalue::Future> future;
  };
  Job MakeJob(c10d::GradBucket& bucket) const;
  Status Synchronise(const Job& job);
  c10::intrusive_ptr<c10::ivalue::Future> Failed(const Status& status);
  void Run();

  Collective* collective_;
  const std::unordered_map<const void*, std::string> names_;
  const double weight_decay_;
  uint64_t step_ = 0;

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Job> jobs_;
  bool stop_ = false;
  Status status_;
  std::thread thread_;  // last: starts when the rest is there
};

}  // namespace cddp

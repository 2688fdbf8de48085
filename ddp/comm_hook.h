// The seam between PyTorch's Reducer and our collectives: takes each bucket as soon as
// backward has filled it, and synchronises it on the threads of a pipeline
// (cddp/pipeline.h) while backward goes on. The Reducer hands buckets over in the same
// order on every rank.
#pragma once

#include <torch/torch.h>

#include <chrono>
#include <cstdint>
#include <string>
#include <torch/csrc/distributed/c10d/comm.hpp>
#include <unordered_map>

#include "cddp/bucket.h"
#include "cddp/collective.h"
#include "cddp/pipeline.h"

namespace cddp {

class CommHook final : public c10d::CommHookInterface {
 public:
  // `names` gives the name of each parameter, by its tensor. `collective` must
  // outlive the hook. `weight_decay` times the parameter is added to its gradient.
  CommHook(Collective* collective, std::unordered_map<const void*, std::string> names,
           double weight_decay);

  // Called under the Reducer's lock: enqueues only, throws nothing (the Reducer
  // could not be used again). Errors come out of backward(), by way of the future.
  c10::intrusive_ptr<c10::ivalue::Future> runHook(c10d::GradBucket& bucket) override;
  at::Tensor parseHookResult(const c10::IValue& result) override { return result.toTensor(); }

  // Buckets handed over from now on belong to `step`; their gradients are multiplied by
  // `unscale` before anything else.
  void BeginStep(uint64_t step, double unscale) {
    step_ = step;
    unscale_ = unscale;
    parameters_ = 0;
  }

  // Parameters whose gradients were handed over in this step.
  size_t parameters() const { return parameters_; }

  // When the Reducer has handed over the last bucket so far. Between backward passes.
  std::chrono::steady_clock::time_point last_bucket() const { return last_bucket_; }

  // The first error of a collective or of the hook itself; after it every bucket
  // fails alike.
  Status status() const { return pipeline_.status(); }

 private:
  using FuturePtr = c10::intrusive_ptr<c10::ivalue::Future>;
  PipelineJob MakeJob(c10d::GradBucket& bucket, const FuturePtr& future) const;
  FuturePtr Failed(const Status& status);

  const std::unordered_map<const void*, std::string> names_;
  const double weight_decay_;
  uint64_t step_ = 0;
  double unscale_ = 1;
  size_t parameters_ = 0;
  std::chrono::steady_clock::time_point last_bucket_;
  Pipeline pipeline_;
};

}  // namespace cddp

// The seam between PyTorch's Reducer and our collectives: takes each bucket as soon as
// backward has filled it, and synchronises it on the threads of a pipeline
// (cddp/pipeline.h) while backward goes on. The Reducer hands buckets over in the same
// order on every rank.
//
// Gradients of a device go to the collective where they are, or staged: copied to the host for
// it, and back. A collective that only enqueues is called at once, by backward's own thread.
#pragma once

#include <torch/torch.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <torch/csrc/distributed/c10d/comm.hpp>
#include <unordered_map>

#include "cddp/bucket.h"
#include "cddp/collective.h"
#include "cddp/pipeline.h"
#include "ddp/side_stream.h"

namespace cddp {

struct CommHookOptions {
  std::unordered_map<const void*, std::string> names;  // of the parameters, by their tensors
  at::Device device = at::kCPU;                        // that they are on
  bool staged = false;
  double weight_decay = 0;  // times the parameter is added to its gradient
};

class CommHook final : public c10d::CommHookInterface {
 public:
  // `collective` must outlive the hook.
  CommHook(Collective* collective, CommHookOptions options);

  // Called under the Reducer's lock: enqueues only, throws nothing (the Reducer
  // could not be used again). Errors come out of backward(), by way of the future.
  c10::intrusive_ptr<c10::ivalue::Future> runHook(c10d::GradBucket& bucket) override;
  at::Tensor parseHookResult(const c10::IValue& result) override { return result.toTensor(); }

  // Buckets handed over from now on belong to `step`; their gradients are multiplied by
  // `unscale` before anything else.
  void BeginStep(uint64_t step, double unscale);

  // Parameters whose gradients were handed over in this step.
  size_t parameters() const { return parameters_; }

  // When the Reducer has handed over the last bucket so far. Between backward passes.
  std::chrono::steady_clock::time_point last_bucket() const { return last_bucket_; }

  // The first error of a collective or of the hook itself; after it every bucket
  // fails alike.
  Status status() const { return pipeline_.status(); }

 private:
  using FuturePtr = c10::intrusive_ptr<c10::ivalue::Future>;
  PipelineJob MakeJob(c10d::GradBucket& bucket, const FuturePtr& future);
  // Host memory for a staged bucket, the same in every step.
  at::Tensor StagingOf(uint32_t bucket, int64_t elements);
  // On the current stream, or on the side one and waiting for it.
  void OnStream(const c10::Event* mark, const std::function<void()>& work) const;
  // What the pipeline does with a job, on this thread.
  void Run(PipelineJob job);
  FuturePtr NewFuture() const;
  FuturePtr Failed(const Status& status);

  Collective& collective_;
  const CommHookOptions options_;
  const SideStream side_;
  std::map<uint32_t, at::Tensor> staging_;
  uint64_t step_ = 0;
  double unscale_ = 1;
  size_t parameters_ = 0;
  std::chrono::steady_clock::time_point last_bucket_;
  Pipeline pipeline_;
};

}  // namespace cddp

// DdpEngine: data-parallel training of one module, on PyTorch's own Reducer.
//
//   engine.BeginStep();                       // zeroes gradients, counts the step
//   auto output = model->forward(batch);
//   auto loss = ...;
//   engine.Backward(output, loss);            // gradients are synchronised when it returns
//   if (engine.EndStep() == StepOutcome::kCommitted) optimizer.step();
//
// Gradients are views of the Reducer's buckets: zero them only through
// BeginStep. Parameters must be float32 on the CPU, each of less than 2^32 elements.
//
// One thread. Collective: every rank makes the same calls.
#pragma once

#include <torch/torch.h>

#include <chrono>
#include <memory>
#include <vector>

#include "cddp/collective.h"
#include "ddp/comm_hook.h"
#include "ddp/torch_seam.h"
#include "ddp/world.h"

namespace cddp {

struct DdpOptions {
  int64_t bucket_bytes = 25 << 20;       // as PyTorch's DDP
  int64_t first_bucket_bytes = 1 << 20;  // small, so that communication starts early
  bool find_unused_parameters = false;
  // Added to the gradients, times the parameter, before they are synchronised: for
  // memories that hold the momentum. The optimiser must then have none of its own.
  double weight_decay = 0;
};

class DdpEngine {
 public:
  // Checks that every rank has the same parameters and buffers, gives every rank
  // rank 0's, and fixes the bucket layout. `world` and `collective` must outlive
  // the engine. Throws StatusError: kInvalidArgument naming a parameter that cannot
  // be synchronised, or on every rank when the ranks' modules differ; kPeerLost.
  DdpEngine(torch::nn::Module& module, World& world, Collective* collective,
            const DdpOptions& options);

  void BeginStep();

  // Throws StatusError (kPeerLost, kCorrupt, kInternal) when a collective failed;
  // the engine can't be used any more then.
  void Backward(const at::Tensor& output, const at::Tensor& loss);

  // Of the last Backward: from when its last gradient was there until all were
  // synchronised, which backward did not hide.
  std::chrono::nanoseconds exposed() const { return exposed_; }

  StepOutcome EndStep() { return collective_->EndStep(); }

  // Steps begun so far.
  uint64_t steps() const { return step_; }

  const std::vector<at::Tensor>& parameters() const { return parameters_; }

 private:
  Collective* collective_;
  std::vector<at::Tensor> parameters_;
  std::shared_ptr<c10d::Reducer> reducer_;
  std::shared_ptr<c10d::Logger> logger_;  // the Reducer needs one to report unused parameters
  CommHook* hook_ = nullptr;              // owned by the Reducer
  uint64_t step_ = 0;
  std::chrono::nanoseconds exposed_{0};
};

}  // namespace cddp

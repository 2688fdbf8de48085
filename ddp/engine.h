// DdpEngine: data-parallel training of one module, on PyTorch's own Reducer.
//
//   engine.BeginStep();                       // zeroes gradients, counts the step
//   for (all batches of the step but the last) engine.Accumulate(loss of model->forward(batch));
//   auto output = model->forward(last batch);
//   auto loss = ...;
//   engine.Backward(output, loss);            // gradients are synchronised when it returns
//   if (engine.EndStep() == StepOutcome::kCommitted) optimizer.step();
//
// The gradient of a step is the mean over the ranks of the sum over the rank's batches.
//
// Buffers, such as the statistics of batch normalisation, follow rank 0, as in PyTorch's
// DDP: every rank has rank 0's when a step begins. A void step leaves no trace in
// them either.
//
// Gradients are views of the Reducer's buckets: zero them only through
// BeginStep. Parameters must be float32, on one device, each of less than 2^32 elements. Those
// of a device other than the CPU go to the collective there, or are copied to the host for it.
//
// One thread. Collective: every rank makes the same calls.
#pragma once

#include <torch/torch.h>

#include <chrono>
#include <memory>
#include <vector>

#include "cddp/collective.h"
#include "ddp/c10d_transport.h"
#include "ddp/comm_hook.h"
#include "ddp/torch_seam.h"
#include "ddp/world.h"

namespace cddp {

struct DdpOptions {
  int64_t bucket_bytes = 25 << 20;       // as PyTorch's DDP
  int64_t first_bucket_bytes = 1 << 20;  // small, so that communication starts early
  // For modules that leave parameters out in some steps, not on all ranks alike. Their
  // gradient counts as 0 there. One more agreement per step, apart from the gradients'
  // traffic. Where gradients are compressed, all parameters have a gradient from the start, for
  // memories may owe them something: the optimiser does not skip those not used yet.
  bool find_unused_parameters = false;
  // Added to the gradients, times the parameter, before they are synchronised: for
  // memories that hold the momentum. The optimiser must then have none of its own.
  double weight_decay = 0;
  // Copies the CPU's gradients to other memory for the collective, too, as those of a device.
  bool stage_gradients = false;
};

class DdpEngine {
 public:
  // Checks that every rank has the same parameters and buffers, gives every rank
  // rank 0's, and fixes the bucket layout. Buffers travel over `transport`, which counts
  // them; `world`, `transport` and `collective` must outlive the engine. Throws StatusError:
  // kInvalidArgument naming a parameter that cannot be synchronised, or on every rank when the
  // ranks' modules differ; kPeerLost.
  DdpEngine(torch::nn::Module& module, World& world, C10dTransport& transport,
            Collective* collective, const DdpOptions& options);

  // The losses of this step are `loss_scale` times what they should be: their gradients
  // are divided by it before any memory sees them. Throws StatusError(kPeerLost).
  void BeginStep(double loss_scale = 1);

  // Backward without synchronisation: adds to this rank's gradients.
  void Accumulate(const at::Tensor& loss) { loss.backward(); }

  // Throws StatusError: kPeerLost, kCorrupt, kInternal when a collective failed;
  // kInvalidArgument naming parameters that got no gradient, without
  // find_unused_parameters. The engine can't be used any more then.
  void Backward(const at::Tensor& output, const at::Tensor& loss);

  // Of the last Backward: from when its last gradient was there until all were
  // synchronised, which backward did not hide.
  std::chrono::nanoseconds exposed() const { return exposed_; }

  StepOutcome EndStep();

  // Gives every rank rank 0's buffers, for an evaluation that is the same on all.
  // Collective, between steps. Throws StatusError(kPeerLost).
  void SyncBuffers() { transport_.BroadcastFromRank0(buffers_); }

  // Steps begun so far.
  uint64_t steps() const { return step_; }
  // For a run that goes on: as if so many steps had been begun.
  void ContinueAt(uint64_t steps) { step_ = steps; }

  const std::vector<at::Tensor>& parameters() const { return parameters_; }
  const std::vector<at::Tensor>& buffers() const { return buffers_; }

 private:
  // Throws unless every parameter's gradient was handed over.
  void RequireAllParametersUsed(const at::Tensor& loss) const;

  C10dTransport& transport_;
  Collective* collective_;
  std::vector<std::string> names_;  // of parameters_
  std::vector<at::Tensor> buffers_;
  std::vector<at::Tensor> buffers_before_;  // the step
  std::vector<at::Tensor> parameters_;
  std::shared_ptr<c10d::Reducer> reducer_;
  std::shared_ptr<c10d::Logger> logger_;  // the Reducer needs one to report unused parameters
  CommHook* hook_ = nullptr;              // owned by the Reducer
  uint64_t step_ = 0;
  std::chrono::nanoseconds exposed_{0};
};

}  // namespace cddp

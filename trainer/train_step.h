// One optimiser step of a worker: forward and backward over its batches, synchronised
// gradients, clipping, the optimiser.
//
// Clipping (--clip-grad-norm) comes after the workers' gradients were combined: with dense
// gradients it is torch's clip_grad_norm_ on the mean; with compression it clips the
// update that came back, and what is clipped away is in no memory.
#pragma once

#include <torch/torch.h>

#include <cstdint>
#include <functional>
#include <memory>

#include "ddp/c10d_transport.h"
#include "ddp/engine.h"
#include "ddp/world.h"
#include "trainer/loss_scaler.h"
#include "trainer/options.h"
#include "trainer/prediction.h"
#include "trainer/step_log.h"
#include "trainer/training_progress.h"

namespace cddp {

// What a worker does in one batch of the global one.
struct LocalBatch {
  at::Tensor inputs;
  at::Tensor targets;
  // The worker has no samples in it: it joins with any one, whose gradient counts for
  // nothing and which the model's statistics do not see.
  bool empty = false;
};

class TrainStep {
 public:
  // Collective. `options` are resolved; all references must outlive this. Throws as DdpEngine.
  TrainStep(const TrainOptions& options, World& world, C10dTransport& transport,
            Collective* collective, std::shared_ptr<Model> model);

  // What a step is made of: `batches` of them (options.accumulate, at the end of an
  // epoch maybe fewer) with `targets` targets in all, over all workers; take(i) gives
  // this worker's part of batch i, in order; it is not used after the next one is taken.
  struct Work {
    uint32_t batches = 1;
    uint64_t targets = 0;
    std::function<LocalBatch(uint32_t)> take;
    StepLog* log = nullptr;  // that the times of the step's phases go to, if any
  };

  // Gradients weigh each of the targets alike, wherever it is. The optimiser steps at
  // `rate`, unless the step is void. Adds the losses of a committed step to `tally`.
  // Collective. Throws StatusError: as DdpEngine; kDiverged after 20 void steps in a row.
  StepOutcome Run(double rate, const Work& work, Tally* tally);

  DdpEngine& engine() { return *engine_; }
  torch::optim::Optimizer& optimizer() { return *optimizer_; }

  // What a checkpoint keeps besides weights and the optimiser's states.
  StepState state() const { return {scaler_.state(), void_in_a_row_}; }
  void set_state(const StepState& state);

 private:
  // Forward and backward of one batch.
  Prediction Batch(const LocalBatch& batch, double weight, bool last, StepLog* log);
  void CountVoidStep();

  const TrainOptions& options_;
  int world_size_;
  std::shared_ptr<Model> model_;
  std::unique_ptr<DdpEngine> engine_;
  std::unique_ptr<torch::optim::Optimizer> optimizer_;
  LossScaler scaler_;  // in use with fp16
  int void_in_a_row_ = 0;
};

}  // namespace cddp

#include "trainer/train_step.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <utility>

#include "trainer/failure.h"
#include "trainer/optimizer.h"

namespace cddp {
namespace {

constexpr int kMaxVoidStepsInARow = 20;

void Lap(StepLog* log, StepPhase phase) {
  if (log != nullptr) log->Lap(phase);
}

}  // namespace

TrainStep::TrainStep(const TrainOptions& options, World& world, C10dTransport& transport,
                     Collective* collective, std::shared_ptr<Model> model)
    : options_(options), world_size_(world.size()), model_(std::move(model)) {
  DdpOptions ddp;
  ddp.bucket_bytes = static_cast<int64_t>(options.bucket_mb * (1 << 20));
  ddp.first_bucket_bytes = std::min(ddp.first_bucket_bytes, ddp.bucket_bytes);
  ddp.find_unused_parameters = options.find_unused_parameters;
  if (MomentumInMemory(options)) {
    ddp.weight_decay = options.weight_decay;
    spdlog::info("memory dgc: momentum {} is in the memory, the optimiser runs without",
                 options.momentum);
  }
  engine_ = std::make_unique<DdpEngine>(*model_, world, transport, collective, ddp);
  optimizer_ = MakeOptimizer(options, engine_->parameters());
}

StepOutcome TrainStep::Run(double rate, const Work& work, Tally* tally) {
  const double loss_scale = options_.amp == "fp16" ? scaler_.scale() : 1.0;
  // The workers' gradients are averaged: so weighted, the mean over workers is
  // the mean over the targets of the global batch.
  const double weight = loss_scale * world_size_ / static_cast<double>(work.targets);
  Tally seen;
  LocalBatch batch;
  Prediction prediction;
  const auto count_it = [&] {
    if (!batch.empty) seen += TallyOf(prediction.logits, batch.targets, prediction.loss_sum);
    prediction = {};
  };
  engine_->BeginStep(loss_scale);
  for (uint32_t i = 0; i < work.batches; ++i) {
    if (i > 0) count_it();
    batch = work.take(i);
    Lap(work.log, StepPhase::kData);
    prediction = Batch(batch, weight, i + 1 == work.batches, work.log);
  }
  const StepOutcome outcome = engine_->EndStep();
  if (options_.amp == "fp16") scaler_.Update(outcome);
  if (outcome == StepOutcome::kCommitted) {
    TakeStep(*optimizer_, rate, options_);
    void_in_a_row_ = 0;
    // Only now, so that a GPU, which is waited for, has the optimiser's work meanwhile.
    count_it();
    // The loss of a void step may be anything, and would be that of the whole epoch.
    *tally += seen;
  } else {
    CountVoidStep();
  }
  Lap(work.log, StepPhase::kOptimizer);
  return outcome;
}

Prediction TrainStep::Batch(const LocalBatch& batch, double weight, bool last, StepLog* log) {
  // One sample that is not of this batch must not move the statistics.
  if (batch.empty) model_->eval();
  Prediction prediction =
      Predict(*model_, batch.inputs, batch.targets, options_.amp, options_.label_smoothing);
  if (batch.empty) model_->train();
  const at::Tensor loss = prediction.loss_sum * (batch.empty ? 0.0 : weight);
  Lap(log, StepPhase::kForward);
  if (last) {
    engine_->Backward(prediction.logits, loss);
  } else {
    engine_->Accumulate(loss);
  }
  Lap(log, StepPhase::kBackward);
  if (last && log != nullptr) {
    log->Move(StepPhase::kBackward, StepPhase::kExposed, engine_->exposed());
  }
  return prediction;
}

void TrainStep::set_state(const StepState& state) {
  scaler_.set_state(state.scaler);
  void_in_a_row_ = state.void_in_a_row;
}

void TrainStep::CountVoidStep() {
  ++void_in_a_row_;
  spdlog::warn("step {} is void: some gradient is not finite; parameters and memories stay",
               engine_->steps());
  if (void_in_a_row_ < kMaxVoidStepsInARow) return;
  throw SharedError(StatusCode::kDiverged,
                    fmt::format("training has diverged: {} steps in a row had non-finite "
                                "gradients (last: step {}); lower --lr",
                                void_in_a_row_, engine_->steps()));
}

}  // namespace cddp

// A model over the samples of a test split.
#pragma once

#include <torch/torch.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "ddp/world.h"
#include "trainer/data/samples.h"
#include "trainer/prediction.h"

namespace cddp {

// Which samples, and how.
struct EvaluationPass {
  int64_t begin = 0;
  int64_t end = 0;  // the first that is not among them
  int64_t batch_size = 500;
  std::string amp = "none";
};

// This worker's share of the first `count` samples, in whole pieces of so many samples. The
// caller sets the rest.
EvaluationPass ShareOf(const World& world, int64_t count, int64_t piece);

struct EvaluatedBatch {
  int64_t begin;  // number of its first sample
  at::Tensor targets;
  Prediction prediction;
  double forward_s;  // seconds that the prediction took
};

// Puts the model in evaluation mode and shows `seen` each batch, in order; the last may be
// smaller. Without gradients.
void ForEachBatch(Model& model, const Samples& samples, const EvaluationPass& pass,
                  const std::function<void(const EvaluatedBatch&)>& seen);

// What a token's loss, in nats, is in bits per byte of its text; nothing of images.
std::optional<double> BitsPerByte(double loss, const SampleFormat& format);

// The sums of all workers. Collective.
Tally SumOverWorkers(World& world, const Tally& tally);

// Over the first `count` samples, of which each worker takes its share. Batches of
// `text_batch` windows where samples are text: those take the memory that training gives
// them. Collective.
Tally Evaluate(Model& model, const Samples& samples, int64_t count, int64_t text_batch,
               const std::string& amp, World& world);

}  // namespace cddp

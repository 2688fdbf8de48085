// What a model says of a batch, and how right it is.
#pragma once

#include <torch/torch.h>

#include <string>

#include "trainer/model.h"
#include "trainer/tally.h"

namespace cddp {

// The model's output in fp32 and the sum of the targets' cross entropies.
struct Prediction {
  at::Tensor logits;
  at::Tensor loss_sum;
};

// Of a Prediction; waits for its device.
Tally TallyOf(const at::Tensor& logits, const at::Tensor& targets, const at::Tensor& loss_sum);

// Forward in the precision `amp` (none, bf16, fp16), the loss in fp32.
Prediction Predict(Model& model, const at::Tensor& inputs, const at::Tensor& targets,
                   const std::string& amp, double label_smoothing = 0);

}  // namespace cddp

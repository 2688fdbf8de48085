// What a model says of a batch, and how right it is.
#pragma once

#include <torch/torch.h>

#include <string>

#include "trainer/model.h"

namespace cddp {

// Sums over the targets seen by one worker: a label for each image, the next token for
// each of a text.
struct Tally {
  double loss = 0;
  double correct = 0;
  double samples = 0;

  // Of a Prediction; waits for its device.
  void Add(const at::Tensor& logits, const at::Tensor& targets, const at::Tensor& loss_sum);
  Tally& operator+=(const Tally& other);
  // Of no samples there is no mean: not a number, null in JSON.
  double mean_loss() const;
  double accuracy_percent() const;
};

// The model's output in fp32 and the sum of the targets' cross entropies.
struct Prediction {
  at::Tensor logits;
  at::Tensor loss_sum;
};

// Forward in the precision `amp` (none, bf16, fp16), the loss in fp32.
Prediction Predict(Model& model, const at::Tensor& inputs, const at::Tensor& targets,
                   const std::string& amp, double label_smoothing = 0);

}  // namespace cddp

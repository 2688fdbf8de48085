// The optimisers that --optimizer names.
#pragma once

#include <torch/torch.h>

#include <memory>
#include <vector>

#include "trainer/options.h"

namespace cddp {

// sgd, adam and adamw (libtorch's) or lars (trainer/lars.h) as `options` (resolved) say.
std::unique_ptr<torch::optim::Optimizer> MakeOptimizer(const TrainOptions& options,
                                                       const std::vector<at::Tensor>& parameters);

// The optimiser's step at `rate`, its gradients clipped before as options.clip_grad_norm says.
void TakeStep(torch::optim::Optimizer& optimizer, double rate, const TrainOptions& options);

}  // namespace cddp

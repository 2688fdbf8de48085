// What optimisers of ours do with the closure that torch's interface lets them be given.
#pragma once

#include <torch/torch.h>

namespace cddp {

// The loss, computed anew with gradients; undefined without a closure.
inline torch::Tensor LossOf(const torch::optim::Optimizer::LossClosure& closure) {
  if (!closure) return {};
  const torch::AutoGradMode with_gradients(true);
  return closure();
}

}  // namespace cddp

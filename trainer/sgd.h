// torch::optim::SGD, step for step and to the bit, but with one operator for the tensors of
// all parameters where libtorch has one for each tensor: on a GPU that is a handful of
// kernels instead of hundreds, which take longer to start than to run.
#pragma once

#include <torch/torch.h>

namespace cddp {

// Without dampening. Its state is SGD's own (momentum_buffer), saved and loaded like that.
class Sgd final : public torch::optim::SGD {
 public:
  using SGD::SGD;

  // Parameters without gradients stay as they are.
  torch::Tensor step(LossClosure closure = nullptr) override;
};

}  // namespace cddp

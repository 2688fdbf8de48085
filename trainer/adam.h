// torch::optim::Adam and AdamW, step for step and to the bit, but with one operator for the tensors
// of all parameters, as sgd.h.
#pragma once

#include <torch/torch.h>

namespace cddp {

// Without amsgrad. Their states are libtorch's own, saved and loaded like those. Parameters without
// gradients stay as they are.
class Adam final : public torch::optim::Adam {
 public:
  using torch::optim::Adam::Adam;
  torch::Tensor step(LossClosure closure = nullptr) override;
};

class AdamW final : public torch::optim::AdamW {
 public:
  using torch::optim::AdamW::AdamW;
  torch::Tensor step(LossClosure closure = nullptr) override;
};

}  // namespace cddp

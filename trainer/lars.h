// LARS: SGD with momentum whose step in each layer is in proportion to the layer's
// weights (You, Gitman & Ginsburg 2017, Algorithm 1):
//
//   local rate = trust_coefficient * |w| / (|g| + weight_decay * |w|)
//   v = momentum * v + lr * local rate * (g + weight_decay * w)
//   w = w - v
//
// per parameter tensor, L2 norms. Where |w| or |g| is 0 the local rate is 1, as in NVIDIA's
// LARC; the paper says nothing of it.
//
// Deterministic: norms are summed in double precision in an order of their own, the same
// with any number of threads, so that replicas stay bit-identical. One thread.
#pragma once

#include <torch/torch.h>

#include <vector>

namespace cddp {

struct LarsOptions : torch::optim::OptimizerCloneableOptions<LarsOptions> {
  LarsOptions(double lr) : lr_(lr) {}  // NOLINT(google-explicit-constructor): as torch's
  TORCH_ARG(double, lr);
  TORCH_ARG(double, momentum) = 0.9;
  TORCH_ARG(double, weight_decay) = 0;
  TORCH_ARG(double, trust_coefficient) = 0.001;

 public:
  double get_lr() const override { return lr(); }
  void set_lr(const double rate) override { lr(rate); }
};

struct LarsParamState : torch::optim::OptimizerCloneableParamState<LarsParamState> {
  TORCH_ARG(torch::Tensor, momentum_buffer);  // v
};

// Checkpoints hold its state by tensor_state.h; torch::save does not know it.
class Lars final : public torch::optim::Optimizer {
 public:
  Lars(std::vector<at::Tensor> parameters, const LarsOptions& options);

  // Parameters without gradients stay as they are.
  torch::Tensor step(LossClosure closure = nullptr) override;

 private:
  void Step(const at::Tensor& parameter, const LarsOptions& options);
};

}  // namespace cddp

#include "trainer/lars.h"

#include <utility>

#include "ddp/torch_seam.h"
#include "trainer/gradient_norm.h"
#include "trainer/loss_closure.h"

namespace cddp {

Lars::Lars(std::vector<at::Tensor> parameters, const LarsOptions& options)
    : Optimizer(std::move(parameters), std::make_unique<LarsOptions>(options)) {}

torch::Tensor Lars::step(LossClosure closure) {
  const torch::Tensor loss = LossOf(closure);
  const torch::NoGradGuard no_grad;
  for (auto& group : param_groups_) {
    const auto& options = static_cast<const LarsOptions&>(group.options());
    for (const at::Tensor& parameter : group.params()) {
      if (parameter.grad().defined()) Step(parameter, options);
    }
  }
  return loss;
}

void Lars::Step(const at::Tensor& parameter, const LarsOptions& options) {
  const at::Tensor& gradient = parameter.grad();
  const double weight_norm = L2Norm(parameter);
  const double gradient_norm = L2Norm(gradient);
  double rate = options.lr();
  if (weight_norm > 0 && gradient_norm > 0) {
    rate *= options.trust_coefficient() * weight_norm /
            (gradient_norm + options.weight_decay() * weight_norm);
  }
  auto& state = state_[torch_seam::OptimizerStateKey(state_, parameter)];
  if (!state) {
    auto fresh = std::make_unique<LarsParamState>();
    fresh->momentum_buffer(torch::zeros_like(parameter));
    state = std::move(fresh);
  }
  at::Tensor& velocity = static_cast<LarsParamState&>(*state).momentum_buffer();
  velocity.mul_(options.momentum()).add_(gradient, rate);
  if (options.weight_decay() != 0) velocity.add_(parameter, rate * options.weight_decay());
  parameter.sub_(velocity);
}

}  // namespace cddp

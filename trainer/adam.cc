#include "trainer/adam.h"

#include <cmath>
#include <memory>
#include <vector>

#include "ddp/torch_seam.h"
#include "trainer/loss_closure.h"

namespace cddp {
namespace {

// `decays_weights`: themselves, not by way of the gradient (AdamW).
template <class Options, class State, class Group, class States>
void StepOf(Group& group, bool decays_weights, States* states) {
  const auto& options = static_cast<const Options&>(group.options());
  const auto [beta1, beta2] = options.betas();
  std::vector<at::Tensor> parameters, gradients, averages, squares;
  std::vector<at::Scalar> corrections, sizes;
  for (const at::Tensor& parameter : group.params()) {
    if (!parameter.grad().defined()) continue;
    auto& state = (*states)[torch_seam::OptimizerStateKey(*states, parameter)];
    if (!state) {
      auto fresh = std::make_unique<State>();
      fresh->exp_avg(torch::zeros_like(parameter));
      fresh->exp_avg_sq(torch::zeros_like(parameter));
      state = std::move(fresh);
    }
    auto& of_parameter = static_cast<State&>(*state);
    of_parameter.step(of_parameter.step() + 1);
    const auto step = static_cast<double>(of_parameter.step());
    parameters.push_back(parameter);
    gradients.push_back(parameter.grad());
    averages.push_back(of_parameter.exp_avg());
    squares.push_back(of_parameter.exp_avg_sq());
    corrections.emplace_back(std::sqrt(1 - std::pow(beta2, step)));
    sizes.emplace_back(-options.lr() / (1 - std::pow(beta1, step)));
  }
  if (parameters.empty()) return;
  if (options.weight_decay() != 0 && decays_weights) {
    at::_foreach_mul_(parameters, 1 - options.lr() * options.weight_decay());
  } else if (options.weight_decay() != 0) {
    gradients = at::_foreach_add(gradients, parameters, options.weight_decay());
  }
  at::_foreach_mul_(averages, beta1);
  at::_foreach_add_(averages, gradients, 1 - beta1);
  at::_foreach_mul_(squares, beta2);
  at::_foreach_addcmul_(squares, gradients, gradients, 1 - beta2);
  const std::vector<at::Tensor> roots = at::_foreach_sqrt(squares);
  at::_foreach_div_(roots, corrections);
  at::_foreach_add_(roots, options.eps());
  at::_foreach_addcdiv_(parameters, averages, roots, sizes);
}

}  // namespace

torch::Tensor Adam::step(LossClosure closure) {
  const torch::Tensor loss = LossOf(closure);
  const torch::NoGradGuard no_grad;
  for (auto& group : param_groups_) {
    StepOf<torch::optim::AdamOptions, torch::optim::AdamParamState>(group, false, &state_);
  }
  return loss;
}

torch::Tensor AdamW::step(LossClosure closure) {
  const torch::Tensor loss = LossOf(closure);
  const torch::NoGradGuard no_grad;
  for (auto& group : param_groups_) {
    StepOf<torch::optim::AdamWOptions, torch::optim::AdamWParamState>(group, true, &state_);
  }
  return loss;
}

}  // namespace cddp

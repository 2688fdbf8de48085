#include "trainer/sgd.h"

#include <memory>
#include <vector>

#include "ddp/torch_seam.h"
#include "trainer/loss_closure.h"

namespace cddp {

using torch::optim::SGDOptions;
using torch::optim::SGDParamState;

torch::Tensor Sgd::step(LossClosure closure) {
  const torch::Tensor loss = LossOf(closure);
  const torch::NoGradGuard no_grad;
  for (auto& group : param_groups_) {
    const auto& options = static_cast<const SGDOptions&>(group.options());
    std::vector<at::Tensor> parameters, steps;
    for (const at::Tensor& parameter : group.params()) {
      if (!parameter.grad().defined()) continue;
      parameters.push_back(parameter);
      steps.push_back(parameter.grad());
    }
    if (parameters.empty()) continue;
    if (options.weight_decay() != 0) {
      steps = at::_foreach_add(steps, parameters, options.weight_decay());
    }
    if (options.momentum() != 0) {
      std::vector<at::Tensor> velocities, going, arriving;
      for (size_t i = 0; i < parameters.size(); ++i) {
        auto& state = state_[torch_seam::OptimizerStateKey(state_, parameters[i])];
        if (!state) state = std::make_unique<SGDParamState>();
        auto& of_parameter = static_cast<SGDParamState&>(*state);
        if (of_parameter.momentum_buffer().defined()) {
          going.push_back(of_parameter.momentum_buffer());
          arriving.push_back(steps[i]);
        } else {
          of_parameter.momentum_buffer(steps[i].detach().clone());
        }
        velocities.push_back(of_parameter.momentum_buffer());
      }
      if (!going.empty()) {
        at::_foreach_mul_(going, options.momentum());
        at::_foreach_add_(going, arriving);
      }
      steps =
          options.nesterov() ? at::_foreach_add(steps, velocities, options.momentum()) : velocities;
    }
    at::_foreach_add_(parameters, steps, -options.lr());
  }
  return loss;
}

}  // namespace cddp

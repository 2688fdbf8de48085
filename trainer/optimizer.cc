#include "trainer/optimizer.h"

#include "trainer/adam.h"
#include "trainer/gradient_norm.h"
#include "trainer/lars.h"
#include "trainer/sgd.h"

namespace cddp {
namespace {

// Of Adam and AdamW.
template <class Options>
Options AdamOptionsOf(const TrainOptions& options) {
  return Options(options.lr)
      .betas({options.betas[0], options.betas[1]})
      .eps(options.eps)
      .weight_decay(options.weight_decay);
}

}  // namespace

std::unique_ptr<torch::optim::Optimizer> MakeOptimizer(const TrainOptions& options,
                                                       const std::vector<at::Tensor>& parameters) {
  namespace optim = torch::optim;
  if (options.optimizer == "adam") {
    return std::make_unique<Adam>(parameters, AdamOptionsOf<optim::AdamOptions>(options));
  }
  if (options.optimizer == "adamw") {
    return std::make_unique<AdamW>(parameters, AdamOptionsOf<optim::AdamWOptions>(options));
  }
  if (options.optimizer == "lars") {
    return std::make_unique<Lars>(parameters, LarsOptions(options.lr)
                                                  .momentum(options.momentum)
                                                  .weight_decay(options.weight_decay)
                                                  .trust_coefficient(options.trust_coefficient));
  }
  optim::SGDOptions sgd(options.lr);
  if (!MomentumInMemory(options)) {
    sgd.momentum(options.momentum).nesterov(options.nesterov).weight_decay(options.weight_decay);
  }
  return std::make_unique<Sgd>(parameters, sgd);
}

void TakeStep(torch::optim::Optimizer& optimizer, double rate, const TrainOptions& options) {
  std::vector<at::Tensor> parameters;
  for (auto& group : optimizer.param_groups()) {
    group.options().set_lr(rate);
    parameters.insert(parameters.end(), group.params().begin(), group.params().end());
  }
  if (options.clip_grad_norm > 0) ClipGradientNorm(parameters, options.clip_grad_norm);
  optimizer.step();
}

}  // namespace cddp

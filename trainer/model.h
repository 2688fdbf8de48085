// The models that the program trains.
#pragma once

#include <torch/torch.h>

#include <memory>
#include <string>

namespace cddp {

// A classifier: images (batch, channels, rows, cols) in, logits (batch, classes) out.
class Classifier : public torch::nn::Module {
 public:
  using torch::nn::Module::Module;
  virtual torch::Tensor forward(torch::Tensor images) = 0;
};

// A model of ModelNames(), its parameters drawn from torch's default generator.
// Throws StatusError(kInvalidArgument) for an unknown name.
std::shared_ptr<Classifier> MakeModel(const std::string& name, int classes);

// Elements of all trainable parameters.
int64_t CountParameters(const torch::nn::Module& module);

}  // namespace cddp

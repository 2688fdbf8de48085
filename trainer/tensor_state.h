// The tensors of modules and optimisers by name, to and from safetensors.
//
// A module's are its parameters and buffers under their own names. An optimiser's are
// its states under "<parameter>/<field>", such as "fc1.weight/momentum_buffer"; counters
// are int64 tensors of one element.
#pragma once

#include <torch/torch.h>

#include <map>
#include <string>
#include <vector>

#include "trainer/safetensors.h"

namespace cddp {

using NamedTensors = std::map<std::string, at::Tensor>;

// The module's own tensors, not copies.
NamedTensors ModuleTensors(const torch::nn::Module& module);

// What the optimiser keeps for the parameters of `module`: sgd, adam, adamw. Throws
// StatusError(kInternal) for an optimiser that is not known here.
NamedTensors OptimizerTensors(torch::optim::Optimizer& optimizer, const torch::nn::Module& module);

// Replaces what the optimiser keeps. Throws StatusError(kInvalidArgument) naming what in the
// file does not fit; the optimiser is as before then.
void LoadOptimizer(const Safetensors& file, const torch::nn::Module& module,
                   torch::optim::Optimizer* optimizer);

// Copies the file's tensors into those of the same names, whatever device and memory
// format they have. Throws StatusError(kInvalidArgument) when names, types or shapes
// differ, listing which do (`source` is what the list calls the file); nothing is copied
// then.
void CopyInto(const Safetensors& file, const std::string& source, const NamedTensors& targets);

// Tensors as safetensors wants them, in row-major order on the CPU; copies where they are
// not. Throws StatusError(kInvalidArgument) for a type that safetensors.h does not know.
class TensorBytes {
 public:
  explicit TensorBytes(const NamedTensors& tensors);
  // Valid while this lives and the tensors do not change.
  const TensorViews& views() const { return views_; }

 private:
  std::vector<at::Tensor> held_;
  TensorViews views_;
};

}  // namespace cddp

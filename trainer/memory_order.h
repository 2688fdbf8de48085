// The order of a parameter's entries in memories (cddp/memory.h). In a run it is that in which
// gradients lie in buckets, the parameter's own in memory: of a 4-d parameter with the channels
// last (out, rows, cols, in). In checkpoints it is row-major, (out, in, rows, cols), whatever the
// run.
#pragma once

#include <torch/torch.h>

#include <string_view>

#include "cddp/memory.h"

namespace cddp {

// Whether the 4-d parameters have their channels last, which all of them have or none.
bool HasChannelsLast(const torch::nn::Module& module);

// Of what a memory of the name `memory` has saved of the module's parameters, puts the entries of
// 4-d ones into the other order. What is of no parameter of that size stays as it is.
void ToRowMajor(const torch::nn::Module& module, std::string_view memory, MemoryState* state);
void ToChannelsLast(const torch::nn::Module& module, std::string_view memory, MemoryState* state);

}  // namespace cddp

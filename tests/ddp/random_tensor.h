// Tensors that a seed gives.
#pragma once

#include <cstdint>

#include "ddp/torch_seam.h"

namespace cddp {

// Normally distributed, with variance 1.
inline torch::Tensor Random(torch::IntArrayRef shape, uint64_t seed) {
  auto generator = at::detail::createCPUGenerator(seed);
  return torch::randn(shape, generator);
}

}  // namespace cddp

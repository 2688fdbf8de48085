// L2 norms that are the same on every replica. Torch's are summed in an order that
// depends on the number of threads: workers with different ones would drift apart.
#pragma once

#include <torch/torch.h>

#include <vector>

namespace cddp {

// Of a float32 tensor; not finite where an element is not.
double L2Norm(const at::Tensor& tensor);

// Scales the gradients of `parameters` (those that have one) by one factor, so that
// their norm together is at most `max_norm` (Pascanu et al. 2013). Returns the norm before.
double ClipGradientNorm(const std::vector<at::Tensor>& parameters, double max_norm);

}  // namespace cddp

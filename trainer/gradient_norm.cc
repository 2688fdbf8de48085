#include "trainer/gradient_norm.h"

#include <cmath>
#include <span>

#include "core/sweep.h"

namespace cddp {
namespace {

double SquaredNorm(const at::Tensor& tensor) {
  at::Tensor flat = tensor.detach().to(at::kCPU);
  // The order in memory will do, where there are no gaps.
  if (!flat.is_non_overlapping_and_dense()) flat = flat.contiguous();
  return SumOfSquares(std::span(flat.data_ptr<float>(), static_cast<size_t>(flat.numel())));
}

}  // namespace

double L2Norm(const at::Tensor& tensor) { return std::sqrt(SquaredNorm(tensor)); }

double ClipGradientNorm(const std::vector<at::Tensor>& parameters, double max_norm) {
  double sum = 0;
  for (const at::Tensor& parameter : parameters) {
    if (parameter.grad().defined()) sum += SquaredNorm(parameter.grad());
  }
  const double norm = std::sqrt(sum);
  if (norm > max_norm) {
    const torch::NoGradGuard no_grad;
    for (const at::Tensor& parameter : parameters) {
      if (parameter.grad().defined()) parameter.grad().mul_(max_norm / norm);
    }
  }
  return norm;
}

}  // namespace cddp

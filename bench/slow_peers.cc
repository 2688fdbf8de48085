#include "bench/slow_peers.h"

#include <torch/torch.h>

#include <algorithm>
#include <cmath>
#include <functional>

namespace cddp {
namespace {

at::Tensor View(std::span<const float> values) {
  return torch::from_blob(const_cast<float*>(values.data()), {static_cast<int64_t>(values.size())},
                          torch::kFloat);
}

}  // namespace

struct DecompressPipeline::State {
  at::Tensor residual;
};

void TorchTopK::Run(std::span<const float> gradient) const {
  const torch::NoGradGuard no_grad;
  const at::Tensor flat = View(gradient);
  const auto top = at::topk(flat.abs(), static_cast<int64_t>(k_), 0, /*largest=*/true,
                            /*sorted=*/false);
  flat.gather(0, std::get<1>(top));
}

void TopKOnCuda(int device, const float* values, uint32_t elements, uint32_t k) {
  const torch::NoGradGuard no_grad;
  const auto options =
      torch::TensorOptions().device(at::kCUDA, static_cast<c10::DeviceIndex>(device));
  const at::Tensor flat =
      torch::from_blob(const_cast<float*>(values), {int64_t{elements}}, options);
  const auto top = at::topk(flat.abs(), int64_t{k}, 0, /*largest=*/true, /*sorted=*/false);
  flat.gather(0, std::get<1>(top));
}

DecompressPipeline::DecompressPipeline(size_t elements, size_t k)
    : k_(k), state_(new State{torch::zeros({static_cast<int64_t>(elements)})}) {}

DecompressPipeline::~DecompressPipeline() = default;

void DecompressPipeline::Run(std::span<const float> gradient) {
  const torch::NoGradGuard no_grad;
  const at::Tensor accumulated = View(gradient) + state_->residual;
  const at::Tensor flat = accumulated.flatten();
  const at::Tensor indices = std::get<1>(at::topk(flat.abs(), static_cast<int64_t>(k_)));
  const at::Tensor values = flat.gather(0, indices);
  at::Tensor sparse = at::zeros_like(flat);
  sparse.scatter_(0, indices, values);
  state_->residual = accumulated - sparse;
}

void NthElement::Run(std::span<const float> gradient) {
  std::ranges::transform(gradient, magnitudes_.begin(), [](float v) { return std::abs(v); });
  const auto nth = magnitudes_.begin() + static_cast<ptrdiff_t>(k_ - 1);
  std::nth_element(magnitudes_.begin(), nth, magnitudes_.end(), std::greater<>());
}

void SetTorchThreads(int threads) { at::set_num_threads(threads); }

}  // namespace cddp

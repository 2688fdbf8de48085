#include "trainer/prediction.h"

#include <bit>

#include "ddp/torch_seam.h"

namespace cddp {
namespace {

// Operations run in the precision `amp`, where they gain from it, as long as this lives.
class Autocast {
 public:
  explicit Autocast(const std::string& amp, at::DeviceType device)
      : enabled_(amp != "none"), device_(device) {
    if (!enabled_) return;
    at::autocast::increment_nesting();
    torch_seam::SetAutocast(device_, true, amp == "bf16" ? at::kBFloat16 : at::kHalf);
  }
  ~Autocast() {
    if (!enabled_) return;
    // The casts of parameters, which the optimiser will have changed.
    if (at::autocast::decrement_nesting() == 0) at::autocast::clear_cache();
    torch_seam::SetAutocast(device_, false, at::kBFloat16);
  }
  Autocast(const Autocast&) = delete;
  Autocast& operator=(const Autocast&) = delete;

 private:
  bool enabled_;
  at::DeviceType device_;
};

}  // namespace

Tally TallyOf(const at::Tensor& logits, const at::Tensor& targets, const at::Tensor& loss_sum) {
  // A GPU is waited for once: the loss's bits go with the count.
  const at::Tensor sums =
      torch::stack({loss_sum.detach().view(torch::kInt), CountCorrect(logits, targets)})
          .to(torch::kCPU);
  const auto* of_host = sums.data_ptr<int32_t>();
  return {.loss = std::bit_cast<float>(of_host[0]),
          .correct = static_cast<double>(of_host[1]),
          .samples = static_cast<double>(targets.numel())};
}

Prediction Predict(Model& model, const at::Tensor& inputs, const at::Tensor& targets,
                   const std::string& amp, double label_smoothing) {
  Prediction prediction;
  {
    const Autocast autocast(amp, inputs.device().type());
    prediction.logits = model.forward(inputs);
  }
  prediction.logits = prediction.logits.to(torch::kFloat);
  prediction.loss_sum = CrossEntropySum(prediction.logits, targets, label_smoothing);
  return prediction;
}

}  // namespace cddp

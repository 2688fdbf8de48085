#include "trainer/model.h"

#include "trainer/models/factories.h"

namespace cddp {
namespace {

double PredictionsPerSample(const at::Tensor& targets) {
  return static_cast<double>(targets.numel()) / static_cast<double>(targets.size(0));
}

}  // namespace

std::shared_ptr<Model> MakeModel(const ModelOptions& options) {
  ModelOptions resolved = options;
  ResolveArchitecture(resolved.name, resolved.architecture);
  if (resolved.name == "simple_cnn") return MakeSimpleCnn(resolved);
  if (resolved.name == "transformer") return MakeTransformer(resolved);
  return MakeResNet(resolved);
}

int64_t CountParameters(const torch::nn::Module& module) {
  int64_t count = 0;
  for (const at::Tensor& parameter : module.parameters()) {
    if (parameter.requires_grad()) count += parameter.numel();
  }
  return count;
}

at::Tensor CrossEntropySum(const at::Tensor& logits, const at::Tensor& targets) {
  const at::Tensor sum = torch::nn::functional::cross_entropy(
      logits.flatten(0, -2), targets.flatten(),
      torch::nn::functional::CrossEntropyFuncOptions().reduction(torch::kSum));
  return sum / PredictionsPerSample(targets);
}

double CorrectSum(const at::Tensor& logits, const at::Tensor& targets) {
  return logits.argmax(-1).eq(targets).sum().item<double>() / PredictionsPerSample(targets);
}

}  // namespace cddp

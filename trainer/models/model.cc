#include "trainer/model.h"

#include "trainer/data/samples.h"
#include "trainer/models/factories.h"
#include "trainer/options.h"

namespace cddp {

ModelOptions ModelFor(const TrainOptions& options, const SampleFormat& format) {
  return {.name = options.model,
          .architecture = options.architecture,
          .channels = format.channels,
          .rows = format.rows,
          .cols = format.cols,
          .context = format.context,
          .classes = format.classes};
}

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

at::Device DeviceOf(const torch::nn::Module& module) {
  return module.parameters().front().device();
}

at::Tensor CrossEntropySum(const at::Tensor& logits, const at::Tensor& targets,
                           double label_smoothing) {
  return torch::nn::functional::cross_entropy(logits.flatten(0, -2), targets.flatten(),
                                              torch::nn::functional::CrossEntropyFuncOptions()
                                                  .reduction(torch::kSum)
                                                  .label_smoothing(label_smoothing));
}

at::Tensor CountCorrect(const at::Tensor& logits, const at::Tensor& targets) {
  return logits.flatten(0, -2).argmax(1).eq(targets.flatten()).sum(torch::kInt);
}

}  // namespace cddp

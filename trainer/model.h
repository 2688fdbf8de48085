// The models that the program trains.
#pragma once

#include <torch/torch.h>

#include <memory>
#include <string>

#include "trainer/architecture.h"

namespace cddp {

struct SampleFormat;
struct TrainOptions;

// A classifier of images: float images (batch, channels, rows, cols) in, logits
// (batch, classes) out. A language model: int64 tokens (batch, length) in, of at most
// `context` each, logits (batch, length, classes) of each position's next token out.
// Deterministic but for dropout, which draws from torch's default generator. One
// thread at a time.
class Model : public torch::nn::Module {
 public:
  using torch::nn::Module::Module;
  virtual at::Tensor forward(at::Tensor input) = 0;
};

struct ModelOptions {
  std::string name = "simple_cnn";
  Architecture architecture;
  // What the data set tells: the images' shape, or the longest sequence of tokens; the
  // classes, or the vocabulary.
  int64_t channels = 1;
  int64_t rows = 28;
  int64_t cols = 28;
  int64_t context = 128;
  int64_t classes = 10;
};

// The model that `options` ask for, for such samples.
ModelOptions ModelFor(const TrainOptions& options, const SampleFormat& format);

// A model of ModelNames(), its parameters drawn from torch's default generator.
// Throws StatusError(kInvalidArgument) for an unknown name, a choice that is not the
// model's (see ResolveArchitecture), or images that are too small for it.
std::shared_ptr<Model> MakeModel(const ModelOptions& options);

// Of its first parameter, and so of all.
at::Device DeviceOf(const torch::nn::Module& module);

// Elements of all trainable parameters.
int64_t CountParameters(const torch::nn::Module& module);

// Sum of the cross-entropies in nats of logits (..., classes) against as many targets,
// int64 of any shape: a scalar to differentiate. Label smoothing as in torch, from 0 to 1.
at::Tensor CrossEntropySum(const at::Tensor& logits, const at::Tensor& targets,
                           double label_smoothing = 0);

// For how many of the targets the logit is the largest: int32, on their device.
at::Tensor CountCorrect(const at::Tensor& logits, const at::Tensor& targets);

}  // namespace cddp

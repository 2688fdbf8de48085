#include "trainer/model.h"

#include "cddp/status.h"
#include "trainer/model_names.h"
#include "trainer/nearest_name.h"

namespace cddp {
namespace {

namespace nn = torch::nn;

// The same as pooling after relu, at a quarter of relu's cost. Pooling is vectorised
// over channels only when they are last in memory.
torch::Tensor PoolRelu(const torch::Tensor& x) {
  return torch::relu(torch::max_pool2d(x.contiguous(at::MemoryFormat::ChannelsLast), 2));
}

// conv 3x3 x32, pool, conv 3x3 x64, pool, fc 128, dropout, fc: 421,642 parameters
// for 28 x 28 images with one channel and 10 classes.
class SimpleCnn final : public Classifier {
 public:
  explicit SimpleCnn(int classes) : Classifier("SimpleCNN") {
    conv1_ = register_module("conv1", nn::Conv2d(nn::Conv2dOptions(1, 32, 3).padding(1)));
    conv2_ = register_module("conv2", nn::Conv2d(nn::Conv2dOptions(32, 64, 3).padding(1)));
    fc1_ = register_module("fc1", nn::Linear(64 * 7 * 7, 128));
    dropout_ = register_module("dropout", nn::Dropout(0.5));
    fc2_ = register_module("fc2", nn::Linear(128, classes));
  }

  torch::Tensor forward(torch::Tensor x) override {
    x = PoolRelu(conv1_(x));
    x = PoolRelu(conv2_(x));
    x = torch::relu(fc1_(x.flatten(1)));
    return fc2_(dropout_(x));
  }

 private:
  nn::Conv2d conv1_{nullptr}, conv2_{nullptr};
  nn::Linear fc1_{nullptr}, fc2_{nullptr};
  nn::Dropout dropout_{nullptr};
};

}  // namespace

std::shared_ptr<Classifier> MakeModel(const std::string& name, int classes) {
  if (name == "simple_cnn") return std::make_shared<SimpleCnn>(classes);
  throw StatusError(StatusCode::kInvalidArgument, UnknownName("model", name, ModelNames()));
}

int64_t CountParameters(const nn::Module& module) {
  int64_t count = 0;
  for (const torch::Tensor& parameter : module.parameters()) {
    if (parameter.requires_grad()) count += parameter.numel();
  }
  return count;
}

}  // namespace cddp

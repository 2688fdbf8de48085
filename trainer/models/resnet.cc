#include <fmt/format.h>

#include <map>
#include <vector>

#include "trainer/models/factories.h"

namespace cddp {
namespace {

namespace nn = torch::nn;

struct Stage {
  int64_t width;  // features; a bottleneck's blocks end with four times as many
  int blocks;
  int64_t stride;  // of the first block
};

struct ResNetPlan {
  int64_t stem_width;
  bool bottleneck;
  std::vector<Stage> stages;
};

const ResNetPlan& ResNetPlanOf(const std::string& model) {
  static const std::map<std::string, ResNetPlan> plans = {
      {"resnet8", {32, false, {{32, 1, 2}, {64, 1, 2}, {128, 1, 2}}}},
      {"resnet18", {64, false, {{64, 2, 1}, {128, 2, 2}, {256, 2, 2}, {512, 2, 2}}}},
      {"resnet50", {64, true, {{64, 3, 1}, {128, 4, 2}, {256, 6, 2}, {512, 3, 2}}}}};
  return plans.at(model);
}

nn::Conv2d Convolution(int64_t in, int64_t out, int64_t size, int64_t stride) {
  return nn::Conv2d(nn::Conv2dOptions(in, out, size).stride(stride).padding(size / 2).bias(false));
}

// A basic block, or with the stride in its 3x3 convolution a bottleneck: the variant
// of torchvision. The skipped way is a convolution where the shape changes.
class ResidualBlock final : public nn::Module {
 public:
  ResidualBlock(int64_t in, int64_t width, int64_t out, int64_t stride, bool bottleneck)
      : nn::Module("Block") {
    // torchvision makes it first, which the weights drawn depend on, and registers it
    // last.
    nn::Sequential downsample{nullptr};
    if (stride != 1 || in != out) {
      downsample = nn::Sequential(Convolution(in, out, 1, stride), nn::BatchNorm2d(out));
    }
    conv1_ = register_module(
        "conv1", bottleneck ? Convolution(in, width, 1, 1) : Convolution(in, width, 3, stride));
    bn1_ = register_module("bn1", nn::BatchNorm2d(width));
    conv2_ = register_module("conv2", Convolution(width, width, 3, bottleneck ? stride : 1));
    bn2_ = register_module("bn2", nn::BatchNorm2d(width));
    if (bottleneck) {
      conv3_ = register_module("conv3", Convolution(width, out, 1, 1));
      bn3_ = register_module("bn3", nn::BatchNorm2d(out));
    }
    if (downsample) downsample_ = register_module("downsample", downsample);
  }

  at::Tensor forward(const at::Tensor& x) {
    at::Tensor y = bn2_(conv2_(bn1_(conv1_(x)).relu_()));
    if (conv3_) y = bn3_(conv3_(y.relu_()));
    return y.add_(downsample_ ? downsample_->forward(x) : x).relu_();
  }

 private:
  nn::Conv2d conv1_{nullptr}, conv2_{nullptr}, conv3_{nullptr};
  nn::BatchNorm2d bn1_{nullptr}, bn2_{nullptr}, bn3_{nullptr};
  nn::Sequential downsample_{nullptr};
};

class ResNet final : public Model {
 public:
  ResNet(const ResNetPlan& plan, const ModelOptions& options)
      : Model("ResNet"),
        large_stem_(options.architecture.stem == "imagenet"),
        channels_last_(options.architecture.channels_last) {
    conv1_ = register_module("conv1", large_stem_
                                          ? Convolution(options.channels, plan.stem_width, 7, 2)
                                          : Convolution(options.channels, plan.stem_width, 3, 1));
    bn1_ = register_module("bn1", nn::BatchNorm2d(plan.stem_width));
    int64_t in = plan.stem_width;
    for (const Stage& stage : plan.stages) {
      const int64_t out = stage.width * (plan.bottleneck ? 4 : 1);
      nn::Sequential layer;
      for (int block = 0; block < stage.blocks; ++block) {
        layer->push_back(std::make_shared<ResidualBlock>(
            in, stage.width, out, block == 0 ? stage.stride : 1, plan.bottleneck));
        in = out;
      }
      layers_.push_back(register_module(fmt::format("layer{}", layers_.size() + 1), layer));
    }
    fc_ = register_module("fc", nn::Linear(in, options.classes));
    // Batch normalisations begin as 1 and 0.
    for (const auto& module : modules(/*include_self=*/false)) {
      if (auto* convolution = module->as<nn::Conv2d>()) {
        nn::init::kaiming_normal_(convolution->weight, 0.0, torch::kFanOut, torch::kReLU);
        if (channels_last_) PutChannelsLast(convolution->weight);
      }
    }
  }

  at::Tensor forward(at::Tensor x) override {
    // Everything behind keeps the format of its input.
    if (channels_last_) x = x.contiguous(at::MemoryFormat::ChannelsLast);
    x = bn1_(conv1_(x)).relu_();
    if (large_stem_) x = torch::max_pool2d(x, 3, 2, 1);
    for (nn::Sequential& layer : layers_) x = layer->forward(x);
    return fc_(torch::adaptive_avg_pool2d(x, {1, 1}).flatten(1));
  }

 private:
  // Else each convolution would convert its weight in each step. With the strides that gradients
  // have, of a 1x1 filter too: the optimiser adds up all at once where strides are the same.
  static void PutChannelsLast(at::Tensor& weight) {
    const torch::NoGradGuard no_grad;
    weight.set_data(torch::empty_like(weight, at::MemoryFormat::ChannelsLast).copy_(weight));
  }

  bool large_stem_, channels_last_;
  nn::Conv2d conv1_{nullptr};
  nn::BatchNorm2d bn1_{nullptr};
  std::vector<nn::Sequential> layers_;
  nn::Linear fc_{nullptr};
};

}  // namespace

std::shared_ptr<Model> MakeResNet(const ModelOptions& options) {
  return std::make_shared<ResNet>(ResNetPlanOf(options.name), options);
}

}  // namespace cddp

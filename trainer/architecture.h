// Which models there are and what can be chosen about them, for code that does not
// need torch.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace cddp {

// simple_cnn   two convolutions and two linear layers
// resnet8      a residual net for small images, made for training on CPUs
// resnet18     (He et al. 2016)
// resnet50     (He et al. 2016)
// transformer  a decoder-only language model with GPT-2's layout (Radford et al. 2019)
std::vector<std::string> ModelNames();

// Whether a model maps tokens to the logits of the next ones; all others classify
// images.
bool IsLanguageModel(const std::string& model);

// Choices within a model. What is empty, false or 0 is the model's default.
struct Architecture {
  // resnet18, resnet50: cifar (the default) for images of about 32 x 32 pixels,
  // imagenet (torchvision's) for those of about 224 x 224.
  std::string stem;
  // resnet8, resnet18, resnet50: channels are the last dimension in memory, of images and
  // of the convolutions' weights. Files hold weights as without.
  bool channels_last = false;
  // transformer: blocks; attention heads of each; features, a multiple of the heads.
  int64_t layers = 0;  // 4
  int64_t heads = 0;   // 4
  int64_t width = 0;   // 128
};

// Replaces defaults by what they stand for. Throws StatusError(kInvalidArgument) for an
// unknown model, and naming the flag for a choice that `model` does not have or that is
// out of range.
void ResolveArchitecture(const std::string& model, Architecture& architecture);

}  // namespace cddp

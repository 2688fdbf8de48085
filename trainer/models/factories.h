// One factory per file of this folder: for MakeModel, which has resolved the options.
#pragma once

#include <memory>

#include "trainer/model.h"

namespace cddp {

// conv 3x3 x32, pool, conv 3x3 x64, pool, fc 128, dropout, fc: 421,642 parameters for
// 28 x 28 images with one channel and 10 classes, 545,098 for 32 x 32 ones with three.
std::shared_ptr<Model> MakeSimpleCnn(const ModelOptions& options);

// ResNet-18 and -50 (He et al. 2016) as in torchvision: names, shapes and order of
// parameters and buffers, initialisation (the same generator draws the same weights
// with the stem imagenet), and logits. The stem cifar is a 3x3 convolution with stride
// 1 and no pooling: ResNet-50 then has 23,520,842 parameters for 3 channels and 10
// classes.
//
// resnet8 is not a published net: a 3x3 convolution and three basic blocks, each with
// stride 2, of 32, 64 and 128 features. 309,738 parameters and 13.2 million
// multiplications an image of CIFAR-10, against 11,173,962 and 555 million of ResNet-18
// with the stem cifar.
std::shared_ptr<Model> MakeResNet(const ModelOptions& options);

// GPT-2's layout and initialisation (Radford et al. 2019): learned positions, blocks
// with LayerNorm before causal self-attention and before a GELU layer of four widths,
// a last LayerNorm, and a head tied to the token embedding. No dropout.
std::shared_ptr<Model> MakeTransformer(const ModelOptions& options);

}  // namespace cddp

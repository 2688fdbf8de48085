// Gradients to select from, step by step.
//
//   normal   every element normal with variance 1, drifting from step to step:
//            g <- 0.9 g + 0.436 noise, which keeps the variance
//   laplace  the same, each element times a scale of its own whose square is
//            exponential: Laplace distributed, and drifting
//   real     recorded gradients (trainer/gradient_recording.h): the parameters of a
//            step in a row, then those of the next recorded step, and so on up to
//            the size wanted; each step begins one recorded step later
//   equal    all elements 1
//   few      eight distinct values, at random
//   sorted   ascending from 0 to 1: most of what a sweep finds, it finds too late
//   spike    zero, but for one element
//
// The last four are the same in every step.
//
// Noise comes from a pool of a million draws, read from random places in runs of
// 4096 with a random sign: normal draws of their own would take longer than all
// that is measured. Drifting elements are sums of many of them.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "trainer/gradient_recording.h"

namespace cddp {

using Recording = std::vector<RecordedStep>;

// ResNet-50's gradient, at the ratio that benchmarks take where not all are asked for.
inline constexpr uint32_t kUsualSize = 25'557'032;
inline constexpr double kUsualRatio = 0.01;

class GradientSource {
 public:
  virtual ~GradientSource() = default;

  // Replaces the gradient of the last step by that of the next one. The first call
  // may find anything in `gradient`; later ones need what the one before left.
  virtual void Next(std::span<float> gradient) = 0;
};

std::vector<std::string> DistributionNames();

// `distribution` is one of the names; `recording` is needed for real only and must
// outlive the source. The same seed gives the same gradients.
std::unique_ptr<GradientSource> MakeGradientSource(const std::string& distribution, uint64_t seed,
                                                   const Recording* recording);

}  // namespace cddp

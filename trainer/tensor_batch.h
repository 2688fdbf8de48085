// A batch as tensors: on the CPU over its own memory, which must outlive them.
#pragma once

#include <torch/torch.h>

#include "trainer/data/samples.h"

namespace cddp {

struct TensorBatch {
  at::Tensor inputs;   // float (samples, channels, rows, cols), or int64 (samples, context)
  at::Tensor targets;  // int64 (samples), or (samples * context)
};

// The same on another device, copied there while the host goes on. `batch` need not outlive it.
inline TensorBatch OnDevice(const TensorBatch& batch, at::Device device) {
  const auto move = [device](const at::Tensor& tensor) {
    // Only page-locked memory is copied while the host goes on.
    return (device.is_cuda() ? tensor.pin_memory() : tensor).to(device, /*non_blocking=*/true);
  };
  return device.is_cpu() ? batch : TensorBatch{move(batch.inputs), move(batch.targets)};
}

// Images of ImageLayout::kChannelsLast have torch's memory format of that name.
inline TensorBatch AsTensors(const Batch& batch, const SampleFormat& format) {
  const int64_t samples = batch.samples;
  TensorBatch tensors;
  tensors.targets =
      torch::from_blob(const_cast<int64_t*>(batch.targets.data()),
                       {samples * int64_t{format.targets_per_sample()}}, torch::kLong);
  if (format.context > 0) {
    tensors.inputs = torch::from_blob(const_cast<int64_t*>(batch.tokens.data()),
                                      {samples, format.context}, torch::kLong);
    return tensors;
  }
  auto* images = const_cast<float*>(batch.images.data());
  if (format.layout == ImageLayout::kChannelsLast) {
    tensors.inputs = torch::from_blob(images, {samples, format.rows, format.cols, format.channels},
                                      torch::kFloat)
                         .permute({0, 3, 1, 2});
  } else {
    tensors.inputs = torch::from_blob(images, {samples, format.channels, format.rows, format.cols},
                                      torch::kFloat);
  }
  return tensors;
}

}  // namespace cddp

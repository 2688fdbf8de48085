// A data set's images and labels as tensors over its own memory, which must outlive
// them.
#pragma once

#include <torch/torch.h>

#include <span>
#include <utility>

#include "trainer/data/dataset.h"

namespace cddp {

class TensorDataset {
 public:
  explicit TensorDataset(const ImageDataset& data)
      : images_(torch::from_blob(const_cast<uint8_t*>(data.pixels.data()),
                                 {data.count, data.channels, data.rows, data.cols}, torch::kByte)),
        labels_(
            torch::from_blob(const_cast<uint8_t*>(data.labels.data()), {data.count}, torch::kByte)
                .to(torch::kLong)),
        mean_(data.mean),
        std_(data.std) {}

  int64_t size() const { return labels_.size(0); }

  // Normalised images (batch, channels, rows, cols) and labels (batch).
  std::pair<at::Tensor, at::Tensor> Take(std::span<const int64_t> indices) const {
    const auto index = torch::from_blob(const_cast<int64_t*>(indices.data()),
                                        {static_cast<int64_t>(indices.size())}, torch::kLong);
    return {Normalise(images_.index_select(0, index)), labels_.index_select(0, index)};
  }

  // The same of samples [begin, end).
  std::pair<at::Tensor, at::Tensor> Range(int64_t begin, int64_t end) const {
    return {Normalise(images_.slice(0, begin, end)), labels_.slice(0, begin, end)};
  }

 private:
  at::Tensor Normalise(const at::Tensor& pixels) const {
    return pixels.to(torch::kFloat).mul_(1.0 / (255.0 * std_)).sub_(mean_ / std_);
  }

  at::Tensor images_, labels_;
  double mean_, std_;
};

}  // namespace cddp

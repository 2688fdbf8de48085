#include "trainer/batches.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "cddp/status.h"
#include "ddp/torch_error.h"
#include "trainer/data/image_samples.h"
#include "trainer/loader.h"

namespace cddp {
namespace {

class HostBatches final : public Batches {
 public:
  HostBatches(std::shared_ptr<const Samples> samples, DistributedSampler sampler, at::Device device)
      : loader_(std::move(samples), std::move(sampler)), device_(device) {}

  void StartEpoch(uint64_t epoch, uint32_t first_step) override {
    loader_.StartEpoch(epoch, first_step);
  }
  TensorBatch Next() override {
    return OnDevice(AsTensors(loader_.Next(), loader_.samples().format()), device_);
  }
  const DistributedSampler& sampler() const override { return loader_.sampler(); }

 private:
  Loader loader_;
  const at::Device device_;
};

class DeviceBatches final : public Batches {
 public:
  DeviceBatches(std::shared_ptr<const ImageSamples> images, DistributedSampler sampler,
                at::Device device)
      : owned_(std::move(images)), images_(*owned_), sampler_(std::move(sampler)), device_(device) {
    const ImageDataset& data = images_.data();
    const auto bytes = [](const std::vector<uint8_t>& values, at::IntArrayRef sizes) {
      return torch::from_blob(const_cast<uint8_t*>(values.data()), sizes, torch::kByte);
    };
    const at::Tensor on_host =
        bytes(data.pixels, {data.count, data.channels, data.rows, data.cols});
    const int64_t count = sampler_.samples();
    const int64_t margin = images_.crops() ? int64_t{kCropPadding} : 0;
    pixels_ = torch::zeros({count, data.rows + 2 * margin, data.cols + 2 * margin, data.channels},
                           torch::TensorOptions(torch::kByte).device(device));
    const at::Tensor within =
        pixels_.narrow(1, margin, data.rows).narrow(2, margin, data.cols).permute({0, 3, 1, 2});
    constexpr int64_t kAtOnce = 8192;  // of which the device has two copies for a moment
    for (int64_t at = 0; at < count; at += kAtOnce) {
      const int64_t images = std::min(kAtOnce, count - at);
      within.narrow(0, at, images).copy_(on_host.narrow(0, at, images));
    }
    labels_ = bytes(data.labels, {data.count}).narrow(0, 0, count).to(device).to(torch::kLong);
    const auto channels = [&](const std::vector<float>& values) {
      return torch::tensor(values).to(device);
    };
    scale_ = channels(images_.scale());
    shift_ = channels(images_.shift());
    const auto to_device = torch::TensorOptions().dtype(torch::kLong).device(device);
    rows_ = torch::arange(int64_t{data.rows}, to_device);
    cols_ = torch::arange(int64_t{data.cols}, to_device);
    mirrored_ = cols_.flip(0);
  }

  void StartEpoch(uint64_t epoch, uint32_t first_step) override {
    sampler_.SetEpoch(epoch);
    step_ = first_step;
    constexpr int64_t kFirst = 0;
    std::vector<int64_t> chosen;
    begins_.assign(1, 0);
    for (uint32_t step = first_step; step < sampler_.steps_per_epoch(); ++step) {
      const std::span<const int64_t> batch = sampler_.Batch(step);
      for (const int64_t number : batch.empty() ? std::span(&kFirst, 1) : batch) {
        chosen.push_back(number);
        if (!images_.crops()) continue;
        const Crop crop = images_.CropOf(epoch, number);
        chosen.insert(chosen.end(), {crop.down + int64_t{kCropPadding},
                                     crop.right + int64_t{kCropPadding}, crop.mirrored});
      }
      begins_.push_back(static_cast<int64_t>(chosen.size()) / fields());
    }
    first_step_ = first_step;
    chosen_ = torch::from_blob(chosen.data(), {begins_.back(), fields()}, torch::kLong)
                  .t()
                  .clone(at::MemoryFormat::Contiguous)
                  .to(device_);
  }

  TensorBatch Next() override {
    if (!chosen_.defined() || step_ >= sampler_.steps_per_epoch()) {
      throw StatusError(StatusCode::kInternal,
                        fmt::format("there is no batch of step {}: the epoch has {} steps", step_,
                                    sampler_.steps_per_epoch()));
    }
    const uint32_t i = step_++ - first_step_;
    const at::Tensor chosen = chosen_.narrow(1, begins_[i], begins_[i + 1] - begins_[i]);
    const at::Tensor numbers = chosen[0];
    at::Tensor images = images_.crops() ? Crops(chosen) : pixels_.index_select(0, numbers);
    images = images.to(torch::kFloat).mul_(scale_).sub_(shift_).permute({0, 3, 1, 2});
    if (images_.format().layout == ImageLayout::kChannelsFirst) {
      // One channel lies as in both layouts: its strides must say which one is meant.
      images = images.contiguous().flatten().view(images.sizes());
    }
    return {.inputs = images, .targets = labels_.index_select(0, numbers)};
  }

  const DistributedSampler& sampler() const override { return sampler_; }

 private:
  // Of each sample: its number, and of one that is cropped how far down and to the right its
  // crop begins, and whether it is mirrored.
  int64_t fields() const { return images_.crops() ? 4 : 1; }

  at::Tensor Crops(const at::Tensor& chosen) const {
    const at::Tensor rows = rows_ + chosen[1].unsqueeze(1);
    const at::Tensor cols =
        torch::where(chosen[3].unsqueeze(1) == 1, mirrored_, cols_) + chosen[2].unsqueeze(1);
    return pixels_.index({chosen[0].view({-1, 1, 1}), rows.unsqueeze(2), cols.unsqueeze(1)});
  }

  const std::shared_ptr<const ImageSamples> owned_;
  const ImageSamples& images_;
  DistributedSampler sampler_;
  const at::Device device_;
  at::Tensor pixels_;                  // bytes (samples, rows, cols, channels), with margins
  at::Tensor labels_;                  // (samples)
  at::Tensor scale_, shift_;           // (channels)
  at::Tensor rows_, cols_, mirrored_;  // of an image: 0, 1, ...; the last one backwards
  at::Tensor chosen_;                  // (fields, samples): of the epoch from first_step_ on
  std::vector<int64_t> begins_;        // of each step in chosen_
  uint32_t first_step_ = 0;
  uint32_t step_ = 0;
};

}  // namespace

std::unique_ptr<Batches> MakeHostBatches(std::shared_ptr<const Samples> samples,
                                         DistributedSampler sampler, at::Device device) {
  return std::make_unique<HostBatches>(std::move(samples), std::move(sampler), device);
}

std::unique_ptr<Batches> MakeDeviceBatches(std::shared_ptr<const ImageSamples> images,
                                           DistributedSampler sampler, at::Device device) {
  return std::make_unique<DeviceBatches>(std::move(images), std::move(sampler), device);
}

std::unique_ptr<Batches> MakeBatches(std::shared_ptr<const Samples> samples,
                                     DistributedSampler sampler, at::Device device) {
  if (!device.is_cpu() && samples->images() != nullptr) {
    try {
      return MakeDeviceBatches({samples, samples->images()}, sampler, device);
    } catch (const c10::Error& error) {
      if (!OutOfMemory(error)) throw;
      spdlog::warn("{} has no room for the training images; the host makes the batches: {}",
                   device.str(), FirstLine(error));
    }
  }
  return MakeHostBatches(std::move(samples), std::move(sampler), device);
}

}  // namespace cddp

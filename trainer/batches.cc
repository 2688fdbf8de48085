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
    const at::Tensor on_host =
        torch::from_blob(const_cast<uint8_t*>(data.pixels.data()),
                         {data.count, data.channels, data.rows, data.cols}, torch::kByte);
    const int64_t count = sampler_.samples();
    pixels_ = torch::zeros({count, data.rows + 2 * margin(), width(), data.channels},
                           torch::TensorOptions(torch::kByte).device(device));
    const at::Tensor within =
        pixels_.narrow(1, margin(), data.rows).narrow(2, margin(), data.cols).permute({0, 3, 1, 2});
    constexpr int64_t kAtOnce = 8192;  // of which the device has two copies for a moment
    for (int64_t at = 0; at < count; at += kAtOnce) {
      const int64_t images = std::min(kAtOnce, count - at);
      within.narrow(0, at, images).copy_(on_host.narrow(0, at, images));
    }
    const auto channels = [&](const std::vector<float>& values) {
      return torch::tensor(values).to(device);
    };
    scale_ = channels(images_.scale());
    shift_ = channels(images_.shift());
    const at::Tensor rows = torch::arange(int64_t{data.rows}).unsqueeze(1) * width();
    const at::Tensor cols = torch::arange(int64_t{data.cols});
    within_ = torch::stack({rows + cols, rows + cols.flip(0)}).to(device);
  }

  void StartEpoch(uint64_t epoch, uint32_t first_step) override {
    sampler_.SetEpoch(epoch);
    step_ = first_step_ = first_step;
    made_ = {0, 0};
    begins_.assign(1, 0);
    std::vector<int64_t> corners, mirrored, targets;
    constexpr int64_t kFirst = 0;
    for (uint32_t step = first_step; step < sampler_.steps_per_epoch(); ++step) {
      const std::span<const int64_t> batch = sampler_.Batch(step);
      for (const int64_t number : batch.empty() ? std::span(&kFirst, 1) : batch) {
        const Crop crop = images_.crops() ? images_.CropOf(epoch, number) : Crop{};
        const int64_t row = number * pixels_.size(1) + margin() + crop.down;
        corners.push_back(row * width() + margin() + crop.right);
        mirrored.push_back(crop.mirrored);
        targets.push_back(images_.data().labels[static_cast<size_t>(number)]);
      }
      begins_.push_back(static_cast<int64_t>(corners.size()));
    }
    const auto on_device = [&](const std::vector<int64_t>& of_samples) {
      return torch::tensor(of_samples, torch::kLong).to(device_);
    };
    corners_ = on_device(corners);
    mirrored_ = on_device(mirrored);
    targets_ = on_device(targets);
  }

  TensorBatch Next() override {
    if (!corners_.defined() || step_ >= sampler_.steps_per_epoch()) {
      throw StatusError(StatusCode::kInternal,
                        fmt::format("there is no batch of step {}: the epoch has {} steps", step_,
                                    sampler_.steps_per_epoch()));
    }
    const uint32_t i = step_++ - first_step_;
    const int64_t begin = begins_[i];
    const int64_t count = begins_[i + 1] - begin;
    if (begin == made_.end) Make(i);
    return {.inputs = inputs_.narrow(0, begin - made_.begin, count),
            .targets = targets_.narrow(0, begin, count)};
  }

  const DistributedSampler& sampler() const override { return sampler_; }

 private:
  struct Range {
    int64_t begin, end;
  };

  int64_t margin() const { return images_.crops() ? int64_t{kCropPadding} : 0; }
  int64_t width() const { return images_.data().cols + 2 * margin(); }

  // The inputs of step `i` from first_step_ on and of some behind it: the device, which cuts out
  // many images in the time of one, is asked once.
  void Make(uint32_t i) {
    constexpr int64_t kValuesAtOnce = 1 << 24;
    const int64_t at_once = kValuesAtOnce / (within_[0].numel() * pixels_.size(3));
    made_.begin = begins_[i];
    const auto behind =
        std::upper_bound(begins_.begin() + i + 2, begins_.end(), made_.begin + at_once);
    made_.end = *(behind - 1);
    const auto of = [&](const at::Tensor& samples) {
      return samples.narrow(0, made_.begin, made_.end - made_.begin);
    };
    const at::Tensor at =
        within_.index_select(0, of(mirrored_)).add_(of(corners_).view({-1, 1, 1}));
    at::Tensor images = pixels_.view({-1, pixels_.size(3)}).index_select(0, at.flatten());
    images = images.mul(scale_).sub_(shift_).view({at.size(0), at.size(1), at.size(2), -1});
    inputs_ = images.permute({0, 3, 1, 2});
    if (images_.format().layout == ImageLayout::kChannelsFirst) {
      // One channel lies as in both layouts: its strides must say which one is meant.
      inputs_ = inputs_.contiguous().flatten().view(inputs_.sizes());
    }
  }

  const std::shared_ptr<const ImageSamples> owned_;
  const ImageSamples& images_;
  DistributedSampler sampler_;
  const at::Device device_;
  at::Tensor pixels_;         // bytes (samples, rows, cols, channels), with margins
  at::Tensor within_;         // (2, rows, cols): pixels behind an image's first, also mirrored
  at::Tensor scale_, shift_;  // (channels)
  // Of the epoch's samples from first_step_ on: the pixel in which each begins; 1 where it is
  // mirrored; its label.
  at::Tensor corners_, mirrored_, targets_;
  std::vector<int64_t> begins_;  // of each step among them
  Range made_{0, 0};             // of them: those of inputs_
  at::Tensor inputs_;
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

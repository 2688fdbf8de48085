#include "trainer/load_dataset.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <iostream>
#include <span>
#include <utility>

#include "cddp/status.h"
#include "trainer/data/catalog.h"
#include "trainer/data/data_command.h"
#include "trainer/data/dataset.h"
#include "trainer/data/file_bytes.h"
#include "trainer/data/image_samples.h"
#include "trainer/data/text.h"
#include "trainer/data/verify.h"

namespace cddp {
namespace {

DatasetSplits TextOf(const TrainOptions& options, std::span<const uint8_t> bytes,
                     const std::string& origin) {
  return MakeTextSamples(bytes,
                         {.tokens = options.tokens,
                          .context = static_cast<uint32_t>(options.context),
                          .seed = options.seed},
                         origin);
}

// With this stem the last layers have one value of each channel for an image of the sizes that
// there are: normalising those of one image alone is refused by libtorch, at the end of an epoch.
void RequireStatistics(const TrainOptions& options, uint32_t samples, int world_size) {
  if (options.architecture.stem != "imagenet") return;
  const auto workers = static_cast<uint64_t>(world_size);
  const uint64_t global = workers * static_cast<uint64_t>(options.batch_size);
  for (const uint64_t batch : {global, samples % global}) {
    for (uint64_t rank = 0; rank < workers; ++rank) {
      if (batch * (rank + 1) / workers - batch * rank / workers != 1) continue;
      throw StatusError(
          StatusCode::kInvalidArgument,
          fmt::format("--stem imagenet cannot train on one image alone, which is what worker {} "
                      "would have of a batch of {} over {} workers ({} images in an epoch): change "
                      "--batch-size, or choose --stem cifar",
                      rank, batch, workers, samples));
    }
  }
}

}  // namespace

DatasetSplits LoadOrFetchDataset(const TrainOptions& options) {
  if (!options.text_file.empty()) {
    return TextOf(options, ReadFileBytes(options.text_file, kMaxTextBytes), options.text_file);
  }
  const DatasetInfo& info = RequireDataset(options.dataset);
  const bool missing = std::ranges::any_of(info.files, [&](const DataFile& file) {
    return !std::filesystem::exists(DataFilePath(info, file, options.data_dir));
  });
  if (missing) {
    FetchDatasets(std::span(&options.dataset, 1), options.data_dir, std::cerr,
                  isatty(STDERR_FILENO) != 0);
  }
  if (info.kind == DatasetKind::kText) {
    const DataFile& file = info.files[0];
    return TextOf(options, ReadVerified(info, file, options.data_dir),
                  DataFilePath(info, file, options.data_dir).string());
  }
  ImageSplits images = LoadImages(info, options.data_dir);
  const ImageLayout layout =
      options.architecture.channels_last ? ImageLayout::kChannelsLast : ImageLayout::kChannelsFirst;
  return {
      .train = MakeImageSamples(
          std::move(images.train),
          {.crop_flip = options.augment == "crop-flip", .seed = options.seed, .layout = layout}),
      .test = MakeImageSamples(std::move(images.test), {.layout = layout}),
      .sha256 = images.sha256};
}

uint32_t SamplesPerEpoch(const TrainOptions& options, const DatasetSplits& data) {
  if (options.max_train_samples == 0) return data.train->count();
  return std::min(options.max_train_samples, data.train->count());
}

uint32_t SamplesTested(const TrainOptions& options, const DatasetSplits& data) {
  if (options.max_test_samples == 0) return data.test->count();
  return std::min(options.max_test_samples, data.test->count());
}

void RequireBatchFits(const TrainOptions& options, int world_size, const DatasetSplits& data) {
  const uint32_t samples = SamplesPerEpoch(options, data);
  const int64_t shard = samples / world_size;
  if (options.batch_size <= shard) return RequireStatistics(options, samples, world_size);
  throw StatusError(
      StatusCode::kInvalidArgument,
      fmt::format("--batch-size {} is larger than a worker's share of the data: {} samples over "
                  "{} workers are {} each",
                  options.batch_size, samples, world_size, shard));
}

}  // namespace cddp

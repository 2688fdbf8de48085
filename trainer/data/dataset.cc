#include "trainer/data/dataset.h"

#include <fmt/format.h>

#include <algorithm>
#include <span>
#include <utility>

#include "cddp/status.h"
#include "trainer/data/cifar10.h"
#include "trainer/data/file_bytes.h"
#include "trainer/data/idx.h"
#include "trainer/data/sha256.h"
#include "trainer/data/verify.h"

namespace cddp {
namespace {

namespace fs = std::filesystem;

ImageDataset Described(const DatasetInfo& info) {
  ImageDataset data;
  data.classes = info.classes;
  data.mean = info.mean;
  data.std = info.std;
  return data;
}

ImageDataset LoadIdx(const DatasetInfo& info, const DataFile& image_file,
                     const DataFile& label_file, const fs::path& data_dir) {
  const std::string image_path = DataFilePath(info, image_file, data_dir).string();
  const std::string label_path = DataFilePath(info, label_file, data_dir).string();
  IdxImages images = ParseIdxImages(ReadVerified(info, image_file, data_dir), image_path);
  IdxLabels labels = ParseIdxLabels(ReadVerified(info, label_file, data_dir), label_path);
  if (images.count != labels.count) {
    throw StatusError(StatusCode::kCorrupt,
                      fmt::format("{} holds {} images but {} holds {} labels", image_path,
                                  images.count, label_path, labels.count));
  }
  const auto bad = std::find_if(labels.labels.begin(), labels.labels.end(),
                                [&](uint8_t label) { return label >= info.classes; });
  if (bad != labels.labels.end()) {
    throw StatusError(StatusCode::kCorrupt,
                      fmt::format("{}: label {} at position {}; expected labels 0 to {}",
                                  label_path, *bad, bad - labels.labels.begin(), info.classes - 1));
  }
  ImageDataset data = Described(info);
  data.count = images.count;
  data.channels = 1;
  data.rows = images.rows;
  data.cols = images.cols;
  data.pixels = std::move(images.pixels);
  data.labels = std::move(labels.labels);
  return data;
}

ImageDataset LoadCifar10(const DatasetInfo& info, std::span<const DataFile> files,
                         const fs::path& data_dir) {
  ImageDataset data = Described(info);
  data.pixels.reserve(info.bytes());
  for (const DataFile& file : files) {
    const std::vector<uint8_t> bytes = ReadVerified(info, file, data_dir);
    AppendCifar10(bytes, DataFilePath(info, file, data_dir).string(), &data.pixels, &data.labels);
  }
  data.count = static_cast<uint32_t>(data.labels.size());
  data.channels = kCifar10Channels;
  data.rows = kCifar10Side;
  data.cols = kCifar10Side;
  return data;
}

}  // namespace

std::vector<uint8_t> ReadVerified(const DatasetInfo& info, const DataFile& file,
                                  const fs::path& data_dir) {
  const fs::path path = DataFilePath(info, file, data_dir);
  const std::string remedy = fmt::format("get it with: cddp data fetch {}", info.name);
  std::error_code error;
  if (!fs::exists(path, error)) {
    throw StatusError(StatusCode::kUnavailable,
                      fmt::format("{} is missing; {}", path.string(), remedy));
  }
  // A wrong file may be huge: its size is looked at before its bytes.
  const auto require_size = [&](uint64_t found) {
    if (found == file.bytes) return;
    throw StatusError(StatusCode::kCorrupt, fmt::format("{}: expected {} bytes, found {}; {}",
                                                        path.string(), file.bytes, found, remedy));
  };
  if (const uintmax_t size = fs::file_size(path, error); !error) require_size(size);
  std::vector<uint8_t> bytes = ReadFileBytes(path, file.bytes);
  require_size(bytes.size());
  if (const std::string found = Sha256Hex(bytes); found != file.sha256) {
    throw StatusError(StatusCode::kCorrupt, fmt::format("{}: expected SHA-256 {}, found {}; {}",
                                                        path.string(), file.sha256, found, remedy));
  }
  return bytes;
}

ImageSplits LoadImages(const DatasetInfo& info, const fs::path& data_dir) {
  ImageSplits splits;
  if (info.kind == DatasetKind::kCifar10) {
    const auto files = std::span(info.files);
    splits.train = LoadCifar10(info, files.first(files.size() - 1), data_dir);
    splits.test = LoadCifar10(info, files.last(1), data_dir);
  } else {
    splits.train = LoadIdx(info, info.files[0], info.files[1], data_dir);
    splits.test = LoadIdx(info, info.files[2], info.files[3], data_dir);
  }
  if (splits.train.rows != splits.test.rows || splits.train.cols != splits.test.cols) {
    throw StatusError(
        StatusCode::kCorrupt,
        fmt::format("{}: training images are {}x{} but test images are {}x{}", info.name,
                    splits.train.rows, splits.train.cols, splits.test.rows, splits.test.cols));
  }
  std::string digests;
  for (const DataFile& file : info.files) digests += file.sha256;
  splits.sha256 = Sha256Hex({reinterpret_cast<const uint8_t*>(digests.data()), digests.size()});
  return splits;
}

}  // namespace cddp

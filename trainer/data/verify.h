// Comparison of the files in the data folder with the catalog.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "trainer/data/catalog.h"

namespace cddp {

enum class FileState {
  kOk,          // size and digest are those of the catalog
  kMissing,     // there is no such file
  kWrongSize,   // the digest was not computed
  kAltered,     // the size is right, the bytes are not
  kUnreadable,  // something is there that cannot be read as a file
};

// "ok", "missing", "wrong size", "altered", "unreadable".
const char* FileStateName(FileState state);

struct FileReport {
  std::string name;
  std::filesystem::path path;
  FileState state = FileState::kMissing;
  uint64_t bytes = 0;  // found on the disk
  std::string sha256;  // found; empty where it was not computed
};

// Where a file of a data set lies: <data_dir>/<data set>/<file>.
std::filesystem::path DataFilePath(const DatasetInfo& info, const DataFile& file,
                                   const std::filesystem::path& data_dir);

// Reads and digests the files (55 MB for MNIST, 184 MB for CIFAR-10), in the order of
// DatasetInfo::files. Never throws for what it finds on the disk.
// Thread safety: any thread.
std::vector<FileReport> VerifyDataset(const DatasetInfo& info,
                                      const std::filesystem::path& data_dir);

FileReport VerifyFile(const DataFile& file, const std::filesystem::path& path);

}  // namespace cddp

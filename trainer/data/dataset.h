// A labelled image data set in memory.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "trainer/data/catalog.h"

namespace cddp {

struct ImageDataset {
  std::string name;
  uint32_t count = 0;
  uint32_t channels = 0;
  uint32_t rows = 0;
  uint32_t cols = 0;
  std::vector<uint8_t> pixels;  // count x channels x rows x cols
  std::vector<uint8_t> labels;  // count, each below `classes`
  int classes = 0;
  float mean = 0.0f;  // of the pixels scaled to [0, 1]
  float std = 1.0f;
};

struct DatasetSplits {
  ImageDataset train;
  ImageDataset test;
  // SHA-256 over the four files' hexadecimal digests one after another: equal on
  // two ranks if and only if they train on the same bytes.
  std::string sha256;
};

// Reads <data_dir>/<name>/ and checks it: the digest of every file, its IDX
// structure, images and labels of equal count, labels in range. Never fetches.
//
// Throws StatusError: kInvalidArgument for an unknown name, kUnavailable if a file
// is missing, kCorrupt if one is not what it should be. Thread safety: any thread.
DatasetSplits LoadDataset(const std::string& name, const std::filesystem::path& data_dir);

// The same for a data set that need not be in the catalog.
DatasetSplits LoadDataset(const DatasetInfo& info, const std::filesystem::path& data_dir);

}  // namespace cddp

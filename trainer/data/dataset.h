// A labelled image data set in memory.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "trainer/data/catalog.h"

namespace cddp {

struct ImageDataset {
  uint32_t count = 0;
  uint32_t channels = 0;
  uint32_t rows = 0;
  uint32_t cols = 0;
  std::vector<uint8_t> pixels;  // count x channels x rows x cols
  std::vector<uint8_t> labels;  // count, each below `classes`
  int classes = 0;
  // Of each channel's pixels scaled to [0, 1].
  std::vector<float> mean;
  std::vector<float> std;
};

struct ImageSplits {
  ImageDataset train;
  ImageDataset test;
  // SHA-256 over the files' hexadecimal digests one after another: equal on two ranks
  // if and only if they train on the same bytes.
  std::string sha256;
};

// Reads the images in <data_dir>/<name>/ and checks them: the digest of every file, its
// structure, images and labels of equal count, labels in range. Never fetches. The data
// set need not be in the catalog; it must not be a text.
//
// Throws StatusError: kUnavailable if a file is missing, kCorrupt, naming the file and
// the place, if one is not what it should be. Thread safety: any thread.
ImageSplits LoadImages(const DatasetInfo& info, const std::filesystem::path& data_dir);

// The bytes of one file of a data set. Throws StatusError: kUnavailable if it is
// missing, kCorrupt unless it has the size and the digest of its entry. Thread safety:
// any thread.
std::vector<uint8_t> ReadVerified(const DatasetInfo& info, const DataFile& file,
                                  const std::filesystem::path& data_dir);

}  // namespace cddp

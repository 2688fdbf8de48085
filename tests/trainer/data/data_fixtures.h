// What the tests of the data room share: bytes in its formats, folders of them,
// a data set small enough to write down.
#pragma once

#include <gtest/gtest.h>
#include <zlib.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "tests/expect_refusal.h"
#include "trainer/data/catalog.h"
#include "trainer/data/idx.h"
#include "trainer/data/sha256.h"

namespace cddp {

namespace fs = std::filesystem;
using Bytes = std::vector<uint8_t>;

inline void AppendWord(Bytes& bytes, uint32_t word) {
  for (int shift = 24; shift >= 0; shift -= 8) bytes.push_back(static_cast<uint8_t>(word >> shift));
}

inline Bytes Words(const std::vector<uint32_t>& words) {
  Bytes bytes;
  for (uint32_t word : words) AppendWord(bytes, word);
  return bytes;
}

inline Bytes Idx(const std::vector<uint32_t>& header, const Bytes& payload) {
  Bytes bytes = Words(header);
  bytes.insert(bytes.end(), payload.begin(), payload.end());
  return bytes;
}

inline Bytes Ramp(size_t size) {
  Bytes bytes(size);
  for (size_t i = 0; i < size; ++i) bytes[i] = static_cast<uint8_t>(i * 7 + 1);
  return bytes;
}

inline Bytes Gzip(const Bytes& bytes) {
  z_stream stream{};
  EXPECT_EQ(deflateInit2(&stream, 6, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY), Z_OK);
  Bytes output(deflateBound(&stream, bytes.size()));
  stream.next_in = const_cast<Bytef*>(bytes.data());
  stream.avail_in = static_cast<uInt>(bytes.size());
  stream.next_out = output.data();
  stream.avail_out = static_cast<uInt>(output.size());
  EXPECT_EQ(deflate(&stream, Z_FINISH), Z_STREAM_END);
  output.resize(stream.total_out);
  deflateEnd(&stream);
  return output;
}

inline void WriteRaw(const fs::path& path, const Bytes& bytes) {
  fs::create_directories(path.parent_path());
  std::ofstream(path, std::ios::binary)
      .write(reinterpret_cast<const char*>(bytes.data()),
             static_cast<std::streamsize>(bytes.size()));
}

inline std::vector<std::string> NamesIn(const fs::path& folder) {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder)) names.push_back(entry.path().filename());
  std::sort(names.begin(), names.end());
  return names;
}

// A data set of a few small images, and the bytes of its files.
struct SmallDataset {
  DatasetInfo info;
  std::array<Bytes, 4> files;

  explicit SmallDataset(Bytes train_labels = {0, 9, 3}) {
    files[0] = Idx({kIdxImagesMagic, 3, 4, 5}, Ramp(60));
    files[1] = Idx({kIdxLabelsMagic, static_cast<uint32_t>(train_labels.size())}, train_labels);
    files[2] = Idx({kIdxImagesMagic, 2, 4, 5}, Ramp(40));
    files[3] = Idx({kIdxLabelsMagic, 2}, {1, 2});
    info.name = "small";
    info.classes = 10;
    info.mean = {0.25f};
    info.std = {0.5f};
    for (const char* name : {"train-images", "train-labels", "test-images", "test-labels"}) {
      info.files.push_back({.name = name});
    }
    Describe();
  }

  // Makes the catalog entry agree with the bytes, whatever they are.
  void Describe() {
    for (size_t i = 0; i < 4; ++i) {
      info.files[i].bytes = files[i].size();
      info.files[i].sha256 = Sha256Hex(files[i]);
    }
  }

  void WriteTo(const fs::path& folder) const {
    for (size_t i = 0; i < 4; ++i) WriteRaw(folder / info.files[i].name, files[i]);
  }
};

}  // namespace cddp

// Strict reader of IDX files, the format of MNIST and its descendants: a big-
// endian header (magic number, then one size per dimension) and one byte per
// element. Nothing about the bytes is trusted.
//
// All functions throw StatusError(kCorrupt) if the bytes are not exactly one
// well-formed IDX array of the asked kind. Thread safety: any thread.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace cddp {

inline constexpr uint32_t kIdxImagesMagic = 0x00000803;  // unsigned bytes, three dimensions
inline constexpr uint32_t kIdxLabelsMagic = 0x00000801;  // unsigned bytes, one dimension

// Larger arrays are refused before anything is allocated for them.
inline constexpr uint64_t kMaxIdxPayloadBytes = uint64_t{1} << 32;

struct IdxImages {
  uint32_t count = 0;
  uint32_t rows = 0;
  uint32_t cols = 0;
  std::vector<uint8_t> pixels;  // count x rows x cols, row-major; 0 is background
};

struct IdxLabels {
  uint32_t count = 0;
  std::vector<uint8_t> labels;  // one per image
};

// `origin` names the bytes in error messages, usually the file's path.
IdxImages ParseIdxImages(std::span<const uint8_t> bytes, const std::string& origin);
IdxLabels ParseIdxLabels(std::span<const uint8_t> bytes, const std::string& origin);

}  // namespace cddp

// What encoding, validating and decoding know of a frame's bytes: docs/wire_format.md.
#pragma once

#include <xxhash.h>

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

#include "cddp/frame.h"
#include "core/runs.h"

namespace cddp {

static_assert(std::endian::native == std::endian::little, "frames are copied in host order");
static_assert(sizeof(size_t) == 8, "lengths are added up without overflow");

inline constexpr uint32_t kMagic = 0x46444443;  // "CDDF"
inline constexpr uint8_t kVersion = 2;
inline constexpr uint8_t kFlagNonFinite = 1;
inline constexpr uint8_t kFlagOwner = 2;
inline constexpr size_t kChecksumOffset = 32;
inline constexpr size_t kMaxVarintBytes = 5;

struct FrameHeader {
  uint32_t magic;
  uint8_t version;
  uint8_t index_format;
  uint8_t value_format;
  uint8_t flags;
  uint64_t step;
  uint16_t bucket;
  uint16_t rank;
  uint32_t elements;
  uint32_t entries;
  uint32_t payload_bytes;
  uint64_t checksum;
};
static_assert(sizeof(FrameHeader) == kFrameHeaderBytes);
static_assert(offsetof(FrameHeader, checksum) == kChecksumOffset);

// Of all bytes but its own.
inline uint64_t FrameChecksum(std::span<const std::byte> frame) {
  const uint64_t seed = XXH3_64bits(frame.data(), kChecksumOffset);
  return XXH3_64bits_withSeed(frame.data() + kFrameHeaderBytes, frame.size() - kFrameHeaderBytes,
                              seed);
}

inline FrameHeader ReadFrameHeader(std::span<const std::byte> bytes) {
  FrameHeader header;
  std::memcpy(&header, bytes.data(), sizeof(header));
  return header;
}

// False when *bytes does not start with a number of at most 35 bits in the fewest bytes.
inline bool TakeVarint(std::span<const std::byte>* bytes, uint64_t* number) {
  *number = 0;
  for (size_t i = 0; i < std::min(bytes->size(), kMaxVarintBytes); ++i) {
    const auto byte = std::to_integer<uint64_t>((*bytes)[i]);
    *number |= (byte & 0x7f) << (7 * i);
    if (byte >= 0x80) continue;
    *bytes = bytes->subspan(i + 1);
    return byte != 0 || i == 0;
  }
  return false;
}

// Of stochastic rounding in the frame (Dither of core/value_codec.h).
uint64_t DitherKey(const FrameFormat& format, const FrameId& id);

// InvalidArgument when a number may not fit its field.
Status CheckFrameLimits(const FrameFormat& format, const FrameId& id, size_t entries, size_t runs);

// The frame of entries that were coded elsewhere: `coded` are its indices and values, in
// the format's codecs, which are not auto. Requires what EncodeFrame requires.
void AssembleFrame(const FrameFormat& format, const FrameId& id, std::span<const size_t> run_ends,
                   std::span<const std::byte> coded, std::vector<std::byte>* out);

// All checks of ValidateFrame but those of the indices and the values themselves, of which
// *view then has the bytes.
Status ReadFrameLayout(std::span<const std::byte> frame, const FrameId& expected,
                       size_t max_entries, FrameView* view);

// Where the runs of a frame end whose layout is valid.
inline std::vector<size_t> FrameRunEnds(const FrameView& view) {
  std::span<const std::byte> runs = view.runs;
  uint64_t count = 0;
  std::vector<size_t> ends;
  for (TakeVarint(&runs, &count); !runs.empty();) {
    TakeVarint(&runs, &count);
    ends.push_back((ends.empty() ? 0 : ends.back()) + static_cast<size_t>(count));
  }
  return ends;
}

// The blocks of a validated frame, or of one whose runs are valid.
class BlockSizes {
 public:
  explicit BlockSizes(std::span<const std::byte> runs) : runs_(runs) {
    uint64_t count;
    TakeVarint(&runs_, &count);
  }

  // Entries of the next block; 0 behind the last.
  size_t Next() {
    if (left_ == 0) {
      if (runs_.empty()) return 0;
      TakeVarint(&runs_, &left_);
    }
    const auto count = std::min<size_t>(kBlockEntries, left_);
    left_ -= count;
    return count;
  }

 private:
  std::span<const std::byte> runs_;
  uint64_t left_ = 0;
};

}  // namespace cddp

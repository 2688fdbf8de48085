// Frames as bytes, to be altered and sealed again. The offsets are those that
// cddp/frame.h documents, written down a second time on purpose.
#pragma once

#include <xxhash.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include "cddp/frame.h"

namespace cddp {

using FrameBytes = std::vector<std::byte>;

template <typename T>
void Store(FrameBytes* frame, size_t offset, T value) {
  std::memcpy(frame->data() + offset, &value, sizeof(value));
}

template <typename T>
T Fetch(const FrameBytes& frame, size_t offset) {
  T value;
  std::memcpy(&value, frame.data() + offset, sizeof(value));
  return value;
}

// Makes the checksum right again after an alteration.
inline void Seal(FrameBytes* frame) {
  const uint64_t seed = XXH3_64bits(frame->data(), 32);
  Store<uint64_t>(frame, 32, XXH3_64bits_withSeed(frame->data() + 40, frame->size() - 40, seed));
}

inline constexpr FrameFormat kRawFormat{.indices = IndexFormat::kRaw32};

// All entries in one run. Empty when it cannot be encoded.
inline FrameBytes FrameOf(const FrameId& id, Selection selection, bool non_finite = false,
                          const FrameFormat& format = {}) {
  FrameBytes frame;
  const std::vector<size_t> run_ends = {selection.size()};
  const Status status = EncodeFrame(format, id, run_ends, non_finite, &selection, &frame);
  if (!status.ok()) frame.clear();
  return frame;
}

}  // namespace cddp

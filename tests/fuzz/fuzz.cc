#include "tests/fuzz/fuzz.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "cddp/frame.h"
#include "tests/core/frame_bytes.h"

namespace cddp {
namespace {

void Require(bool condition) {
  if (!condition) std::abort();
}

void RequireAscending(std::span<const uint32_t> indices, uint32_t elements) {
  int64_t last = -1;
  for (uint32_t index : indices) {
    Require(int64_t{index} > last && index < elements);
    last = index;
  }
}

void DecodeInAllWays(const FrameBytes& frame) {
  constexpr uint32_t kMaxElements = 1 << 16;  // so that many frames are tried
  if (frame.size() < kFrameHeaderBytes) return;
  const FrameId id{.step = Fetch<uint64_t>(frame, 8),
                   .bucket = Fetch<uint16_t>(frame, 16),
                   .rank = Fetch<uint16_t>(frame, 18),
                   .elements = Fetch<uint32_t>(frame, 20)};
  if (id.elements > kMaxElements) return;
  FrameView view;
  Selection entries;
  const bool good = DecodeFrame(frame, id, id.elements, &view, &entries).ok();
  Require(ValidateFrame(frame, id, id.elements, &view).ok() == good);
  if (!good) return;
  Require(entries.size() == view.entries);
  RequireAscending(entries.indices, id.elements);
  for (float value : entries.values) Require(std::isfinite(value));
}

std::vector<uint32_t> ReadStream(const IndexCodec& codec, std::span<const std::byte> bytes,
                                 size_t entries, uint32_t elements, bool* whole) {
  IndexCursor cursor;
  cursor.bytes = bytes;
  cursor.elements = elements;
  std::vector<uint32_t> indices;
  *whole = codec.Start(entries, (entries + kBlockEntries - 1) / kBlockEntries, &cursor);
  while (*whole && indices.size() < entries) {
    const size_t begin = indices.size();
    const size_t count = std::min(kBlockEntries, entries - begin);
    indices.resize(begin + count);
    *whole = codec.Next(&cursor, count, indices.data() + begin);
    if (!*whole) indices.resize(begin);
  }
  *whole = *whole && codec.Finished(&cursor);
  return indices;
}

}  // namespace

void FuzzFrame(std::span<const uint8_t> bytes) {
  FrameBytes frame(bytes.size());
  if (!bytes.empty()) std::memcpy(frame.data(), bytes.data(), bytes.size());
  DecodeInAllWays(frame);
  if (frame.size() < kFrameHeaderBytes) return;
  Store<uint32_t>(&frame, 28, static_cast<uint32_t>(frame.size() - kFrameHeaderBytes));
  Seal(&frame);
  DecodeInAllWays(frame);
}

void FuzzIndices(const IndexCodec& codec, std::span<const uint8_t> bytes) {
  if (bytes.size() < 4) return;
  const uint32_t elements = bytes[2] | uint32_t{bytes[3]} << 8;
  const size_t entries = std::min<size_t>(bytes[0] | size_t{bytes[1]} << 8, elements);
  // A copy of its own, so that a sanitizer sees a read past the end.
  std::vector<std::byte> stream(bytes.size() - 4);
  if (!stream.empty()) std::memcpy(stream.data(), bytes.data() + 4, stream.size());
  bool whole = false;
  const std::vector<uint32_t> indices = ReadStream(codec, stream, entries, elements, &whole);
  RequireAscending(indices, elements);
  if (!whole) return;

  const std::vector<size_t> run_ends = {entries};
  const size_t most = codec.MaxBytes(entries, elements, MaxBlocks(entries, 1));
  stream.resize(most + IndexCodec::kSlack);
  const size_t size = codec.Encode({indices, run_ends, elements}, stream.data());
  Require(size <= most);
  stream.resize(size);
  Require(ReadStream(codec, stream, entries, elements, &whole) == indices && whole);
}

}  // namespace cddp

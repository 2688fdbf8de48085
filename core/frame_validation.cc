// What a receiver checks before it uses a frame: everything.
#include <fmt/format.h>

#include <cmath>
#include <string_view>

#include "cddp/frame.h"
#include "core/frame_layout.h"
#include "core/index_codec.h"
#include "core/value_codec.h"

namespace cddp {
namespace {

// What every complaint about a frame ends with.
Status BadFrame(const FrameId& expected, const std::string& what) {
  return Status::Corrupt(fmt::format("frame of rank {}, step {}, bucket {}: {}", expected.rank,
                                     expected.step, expected.bucket, what));
}

Status RequireEqual(const FrameId& expected, const char* name, uint64_t want, uint64_t got) {
  if (want == got) return Status::Ok();
  return BadFrame(expected, fmt::format("{} {} expected, got {}", name, want, got));
}

// Why a codec refuses the block of indices that starts with this entry. `last` is the
// index before it.
std::string WhatIsWrong(const IndexCodec& codec, const IndexCursor& cursor,
                        std::span<const uint32_t> block, size_t entry, int64_t last) {
  if (&codec == &Raw32Codec()) {
    for (uint32_t index : block) {
      if (int64_t{index} <= last || index >= cursor.elements) {
        return fmt::format("index {} of entry {} after index {} in a bucket of {} elements", index,
                           entry, last, cursor.elements);
      }
      last = index;
      ++entry;
    }
  }
  const size_t end = entry + block.size() - 1;
  if (cursor.bit > 8 * uint64_t{cursor.bytes.size()}) {
    return fmt::format("length: {} bytes of indices ({}) end within entries {} to {}",
                       cursor.bytes.size(), codec.name(), entry, end);
  }
  if (cursor.last >= int64_t{cursor.elements}) {
    return fmt::format("index {} at entries {} to {} ({}) in a bucket of {} elements", cursor.last,
                       entry, end, codec.name(), cursor.elements);
  }
  return fmt::format("the indices ({}) do not reach entries {} to {} in a bucket of {} elements",
                     codec.name(), entry, end, cursor.elements);
}

// Of a block of values that a codec refuses.
std::string WhatIsWrong(const ValueCodec& codec, const std::byte* block, size_t count,
                        size_t entry) {
  float values[kBlockEntries];
  codec.Decode(block, count, values);
  for (size_t i = 0; i < count; ++i) {
    if (!std::isfinite(values[i])) {
      return fmt::format("value of entry {} is {}", entry + i, values[i]);
    }
  }
  return fmt::format("the values of entries {} to {} ({}) have no such scale or code", entry,
                     entry + count - 1, codec.name());
}

}  // namespace

Status FrameLength(std::span<const std::byte> bytes, size_t* length) {
  if (bytes.size() < kFrameHeaderBytes) {
    return Status::Corrupt(
        fmt::format("a frame has at least {} bytes, got {}", kFrameHeaderBytes, bytes.size()));
  }
  const FrameHeader header = ReadFrameHeader(bytes);
  if (header.magic != kMagic) {
    return Status::Corrupt(
        fmt::format("a frame starts with magic {:#010x}, got {:#010x}", kMagic, header.magic));
  }
  if (header.version != kVersion) {
    return Status::Corrupt(
        fmt::format("frame version {} expected, got {}", kVersion, header.version));
  }
  *length = kFrameHeaderBytes + size_t{header.payload_bytes};
  if (*length > bytes.size()) {
    return Status::Corrupt(
        fmt::format("a frame of {} bytes in a buffer of {}", *length, bytes.size()));
  }
  return Status::Ok();
}

namespace {

// The header against the frame's length, its checksum, what is expected and itself.
Status CheckHeader(std::span<const std::byte> frame, const FrameId& expected, size_t max_entries) {
  size_t length = 0;
  if (Status status = FrameLength(frame, &length); !status.ok()) {
    return BadFrame(expected, status.message());
  }
  if (length != frame.size()) {
    return BadFrame(expected,
                    fmt::format("{} bytes expected from its header, got {}", length, frame.size()));
  }
  const FrameHeader header = ReadFrameHeader(frame);
  if (const uint64_t checksum = FrameChecksum(frame); checksum != header.checksum) {
    return BadFrame(expected, fmt::format("checksum {:#018x} computed, {:#018x} in the header",
                                          checksum, header.checksum));
  }
  const uint8_t flags = expected.of_owner ? kFlagOwner : 0;
  if ((header.flags & ~kFlagNonFinite) != flags) {
    return BadFrame(expected, fmt::format("flags {} or {} expected, got {}", flags,
                                          flags | kFlagNonFinite, header.flags));
  }
  CDDP_RETURN_IF_ERROR(RequireEqual(expected, "step", expected.step, header.step));
  CDDP_RETURN_IF_ERROR(RequireEqual(expected, "bucket", expected.bucket, header.bucket));
  CDDP_RETURN_IF_ERROR(RequireEqual(expected, "rank", expected.rank, header.rank));
  CDDP_RETURN_IF_ERROR(RequireEqual(expected, "elements", expected.elements, header.elements));
  if (IndexCodecOf(static_cast<IndexFormat>(header.index_format)) == nullptr) {
    return BadFrame(expected, fmt::format("no index codec has number {}", header.index_format));
  }
  if (ValueCodecOf(static_cast<ValueFormat>(header.value_format)) == nullptr) {
    return BadFrame(expected, fmt::format("no value codec has number {}", header.value_format));
  }
  if ((header.flags & kFlagNonFinite) != 0 && header.entries != 0) {
    return BadFrame(expected,
                    fmt::format("a non-finite frame has no entries, got {}", header.entries));
  }
  const size_t most = std::min<size_t>(max_entries, header.elements);
  if (header.entries > most) {
    return BadFrame(expected,
                    fmt::format("at most {} entries expected, got {}", most, header.entries));
  }
  return Status::Ok();
}

// Takes the runs, which together have `entries` entries, off the payload.
Status TakeRuns(const FrameId& expected, uint32_t entries, std::span<const std::byte>* payload) {
  uint64_t runs = 0;
  constexpr std::string_view kBadNumber = "is cut off or not in its shortest form";
  if (!TakeVarint(payload, &runs)) {
    return BadFrame(expected, fmt::format("the number of runs {}", kBadNumber));
  }
  if (runs > entries) {
    return BadFrame(expected, fmt::format("at most {} runs expected, got {}", entries, runs));
  }
  uint64_t in_runs = 0;
  for (uint64_t run = 0; run < runs; ++run) {
    uint64_t count = 0;
    if (!TakeVarint(payload, &count)) {
      return BadFrame(expected, fmt::format("the length of run {} {}", run, kBadNumber));
    }
    if (count == 0) {
      return BadFrame(expected, fmt::format("run {} of {} has no entries", run, runs));
    }
    in_runs += count;
    if (in_runs > entries) break;  // before it can overflow
  }
  return RequireEqual(expected, "entries of all runs", entries, in_runs);
}

}  // namespace

Status ReadFrameLayout(std::span<const std::byte> frame, const FrameId& expected,
                       size_t max_entries, FrameView* view) {
  CDDP_RETURN_IF_ERROR(CheckHeader(frame, expected, max_entries));
  const FrameHeader header = ReadFrameHeader(frame);
  const std::span<const std::byte> payload = frame.subspan(kFrameHeaderBytes);
  std::span<const std::byte> rest = payload;
  CDDP_RETURN_IF_ERROR(TakeRuns(expected, header.entries, &rest));
  FrameView checked{.id = expected,
                    .non_finite = (header.flags & kFlagNonFinite) != 0,
                    .entries = header.entries,
                    .blocks = 0,
                    .index_format = static_cast<IndexFormat>(header.index_format),
                    .value_format = static_cast<ValueFormat>(header.value_format),
                    .runs = payload.first(payload.size() - rest.size()),
                    .indices = {},
                    .values = {}};
  size_t value_bytes = 0;
  BlockSizes sizes(checked.runs);
  for (size_t count; (count = sizes.Next()) > 0; ++checked.blocks) {
    value_bytes += ValueCodecOf(checked.value_format)->BlockBytes(count);
  }
  if (value_bytes > rest.size()) {
    return BadFrame(expected, fmt::format("length: {} entries have {} bytes of values, got {}",
                                          header.entries, value_bytes, rest.size()));
  }
  checked.indices = rest.first(rest.size() - value_bytes);
  checked.values = rest.subspan(checked.indices.size());
  *view = checked;
  return Status::Ok();
}

namespace {

// With the entries, unless `entries` is null.
Status ReadFrame(std::span<const std::byte> frame, const FrameId& expected, size_t max_entries,
                 FrameView* view, Selection* entries) {
  FrameView checked;
  CDDP_RETURN_IF_ERROR(ReadFrameLayout(frame, expected, max_entries, &checked));
  const IndexCodec& index_codec = *IndexCodecOf(checked.index_format);
  const ValueCodec& value_codec = *ValueCodecOf(checked.value_format);
  IndexCursor cursor;
  cursor.bytes = checked.indices;
  cursor.elements = expected.elements;
  if (!index_codec.Start(checked.entries, checked.blocks, &cursor)) {
    return BadFrame(expected,
                    fmt::format("length: {} indices ({}) do not take {} bytes", checked.entries,
                                index_codec.name(), checked.indices.size()));
  }
  const std::byte* values = checked.values.data();
  BlockSizes sizes(checked.runs);
  uint32_t block[kBlockEntries];
  int64_t last = -1;
  size_t entry = 0;
  if (entries != nullptr) {
    entries->indices.resize(checked.entries);
    entries->values.resize(checked.entries);
  }
  for (size_t count; (count = sizes.Next()) > 0; entry += count) {
    uint32_t* const indices = entries != nullptr ? entries->indices.data() + entry : block;
    if (!index_codec.Next(&cursor, count, indices)) {
      return BadFrame(expected, WhatIsWrong(index_codec, cursor, {indices, count}, entry, last));
    }
    last = indices[count - 1];
    if (!value_codec.Valid(values, count)) {
      return BadFrame(expected, WhatIsWrong(value_codec, values, count, entry));
    }
    if (entries != nullptr) {
      value_codec.Decode(values, count, entries->values.data() + entry);
    }
    values += value_codec.BlockBytes(count);
  }
  if (!index_codec.Finished(&cursor)) {
    return BadFrame(expected,
                    fmt::format("length: {} indices ({}) end before the last of their {} bytes",
                                checked.entries, index_codec.name(), checked.indices.size()));
  }
  *view = checked;
  return Status::Ok();
}

}  // namespace

Status ValidateFrame(std::span<const std::byte> frame, const FrameId& expected, size_t max_entries,
                     FrameView* view) {
  return ReadFrame(frame, expected, max_entries, view, nullptr);
}

Status DecodeFrame(std::span<const std::byte> frame, const FrameId& expected, size_t max_entries,
                   FrameView* view, Selection* entries) {
  return ReadFrame(frame, expected, max_entries, view, entries);
}

}  // namespace cddp

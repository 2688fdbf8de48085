// The wire frame: the selected entries of one bucket of one rank as bytes.
//
// Layout (little endian), 40 bytes of header, then indices, then values:
//
//   offset size field
//        0    4 magic "CDDF"
//        4    1 version (1)
//        5    1 index codec (0: raw32, ascending 32-bit indices)
//        6    1 value codec (0: fp32)
//        7    1 flags (bit 0: the sender's gradient was not finite; no entries)
//        8    8 step
//       16    2 bucket
//       18    2 rank of the sender
//       20    4 elements of the bucket
//       24    4 entries
//       28    4 bytes after the header
//       32    8 checksum: XXH3-64 of all after the header, seeded with the
//               XXH3-64 of bytes 0..31
//
// Decoding trusts nothing: ValidateFrame checks every field, length and index,
// and that every value is finite, before DecodeAdd touches memory.
//
// Thread safety: functions without state. No allocation once buffers have grown.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "cddp/selection.h"
#include "cddp/status.h"

namespace cddp {

inline constexpr size_t kFrameHeaderBytes = 40;

// Identifies a frame; receivers compare it with what they wait for.
struct FrameId {
  uint64_t step = 0;
  uint32_t bucket = 0;    // at most 65,535
  uint32_t rank = 0;      // of the sender; at most 65,535
  uint32_t elements = 0;  // of the whole bucket
};

// A validated frame. Points into the bytes that were validated.
struct FrameView {
  FrameId id;
  bool non_finite = false;
  uint32_t entries = 0;
  std::span<const std::byte> indices;
  std::span<const std::byte> values;
};

// Upper bound of the frame's size with this many entries, in bytes.
size_t MaxFrameBytes(size_t entries);

// Replaces *out by the frame of *selection (indices ascending, below
// id.elements), and selection->values by what a receiver decodes. With
// `non_finite`, the selection must be empty. InvalidArgument when a number does
// not fit its field.
Status EncodeFrame(const FrameId& id, bool non_finite, Selection* selection,
                   std::vector<std::byte>* out);

// The length of the frame that starts `bytes`, which may be longer (a receive
// buffer of fixed capacity). Corrupt when the header cannot be read or the
// length exceeds bytes.size().
Status FrameLength(std::span<const std::byte> bytes, size_t* length);

// Checks that `frame` is exactly one well-formed frame with identity `expected`
// and at most `max_entries` entries. Corrupt says which field, what was
// expected and what came, from which rank, step and bucket.
Status ValidateFrame(std::span<const std::byte> frame, const FrameId& expected, size_t max_entries,
                     FrameView* view);

// dense[index] += value for each entry, in index order. Requires
// dense.size() == view.id.elements.
void DecodeAdd(const FrameView& view, std::span<float> dense);

}  // namespace cddp

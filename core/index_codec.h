// Index codecs: ascending indices as bytes, in blocks of at most kBlockEntries.
//
// A codec is one file and one line in IndexCodecOf, with a number and a name
// (cddp/frame.h, core/frame.cc). Formats: docs/wire_format.md.
//
// Thread safety: codecs have no state; a cursor belongs to one thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "cddp/frame.h"
#include "core/runs.h"

namespace cddp {

// Indices below `elements`, strictly ascending, and the runs that they fall into.
struct IndexSet {
  std::span<const uint32_t> indices;
  std::span<const size_t> run_ends;
  uint32_t elements = 0;
};

// How far a reader has come. What the members mean is each codec's own.
struct IndexCursor {
  std::span<const std::byte> bytes;
  uint32_t elements = 0;
  uint64_t bit = 0;                // of `bytes`: the next to be read
  int64_t last = -1;               // index that was read last
  uint32_t next = 0;               // of rice-absent: the first index that may come;
                                   // of rice-blocks: the number of the next block
  uint32_t absent[kBlockEntries];  // of rice-absent: the elements without entry
  uint32_t absent_at = 0;
  uint32_t absent_count = 0;
  uint32_t absent_left = 0;
};

class IndexCodec {
 public:
  virtual ~IndexCodec() = default;
  virtual std::string_view name() const = 0;

  // Bits expected of `entries` indices spread evenly by chance.
  virtual double ExpectedBits(size_t entries, uint32_t elements) const = 0;
  // Upper bound for at most `entries` indices in at most `blocks` blocks, whatever they
  // are.
  virtual size_t MaxBytes(size_t entries, uint32_t elements, size_t blocks) const = 0;

  // Returns the bytes written; may write kSlack more.
  static constexpr size_t kSlack = 8;
  virtual size_t Encode(const IndexSet& set, std::byte* out) const = 0;

  // Starts reading `entries` indices in `blocks` blocks. False when they do not take so
  // many bytes.
  virtual bool Start(size_t entries, size_t blocks, IndexCursor* cursor) const;
  // Reads the next `count` indices, a block of the frame. False when the bytes do not
  // say so many ascending indices below `elements`; nothing outside `indices` is
  // written and nothing outside the bytes read, whatever they are.
  virtual bool Next(IndexCursor* cursor, size_t count, uint32_t* indices) const = 0;
  // True when nothing is left over, spare bits being zero. Ends the reading.
  virtual bool Finished(IndexCursor* cursor) const;
};

// Null for a number that is no codec's. Not for kAuto.
const IndexCodec* IndexCodecOf(IndexFormat format);

// The codec that is expected to need the fewest bits.
IndexFormat SmallestIndexFormat(size_t entries, uint32_t elements);

const IndexCodec& Raw32Codec();
const IndexCodec& RiceCodec();
const IndexCodec& BitmapCodec();
const IndexCodec& RiceAbsentCodec();
const IndexCodec& RiceBlocksCodec();

}  // namespace cddp

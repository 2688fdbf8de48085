// Value codecs: a block of at most kBlockEntries values as bytes.
//
// A codec is one class and one line in ValueCodecOf, with a number and a name
// (cddp/frame.h, core/frame.cc). Formats: docs/wire_format.md.
// Finite values decode to finite ones. The arithmetic is IEEE single precision, one
// rounding per operation and denormals kept (no flushing to zero on the thread), so
// that every machine decodes the same bits.
//
// Thread safety: codecs have no state.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "cddp/frame.h"
#include "core/runs.h"

namespace cddp {

// How a quantised value that lies between two levels becomes one of them: the nearer
// (ties to even), or by chance, in proportion to how near they are, so that the mean
// is right (QSGD, Alistarh et al. 2017). The chances of entry i follow from the key
// and i alone (Salmon et al. 2011: a counter-based generator).
struct Dither {
  bool stochastic = false;
  uint64_t key = 0;
  uint64_t entry = 0;  // number of the block's first entry in the frame
};

class ValueCodec {
 public:
  virtual ~ValueCodec() = default;
  virtual std::string_view name() const = 0;

  // Of a block of `count` >= 1 entries.
  virtual size_t BlockBytes(size_t count) const = 0;

  // Writes exactly so many bytes, and to `values` what they decode to.
  virtual void Encode(std::span<float> values, const Dither& dither, std::byte* out) const = 0;

  // False when the bytes decode to something that is not finite, or cannot come from
  // Encode.
  virtual bool Valid(const std::byte* block, size_t count) const = 0;

  // Of a valid block.
  virtual void Decode(const std::byte* block, size_t count, float* values) const = 0;
};

// Null for a number that is no codec's.
const ValueCodec* ValueCodecOf(ValueFormat format);

}  // namespace cddp

// The wire frame: the selected entries of one bucket of one rank as bytes. Its format,
// to the byte, is in docs/wire_format.md:
//
//   header (40 bytes) | runs | indices | values
//
// Decoding trusts nothing: every field, length, index and scale is checked, and that every value
// is finite. Encoding and decoding are deterministic; every machine decodes the same bits,
// provided that the thread does not flush denormals to zero.
//
// Thread safety: functions without state. No allocation once buffers have grown.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "cddp/selection.h"
#include "cddp/status.h"

namespace cddp {

inline constexpr size_t kFrameHeaderBytes = 40;

// How indices travel. The numbers are those on the wire.
enum class IndexFormat : uint8_t {
  kRaw32 = 0,       // 32 bits each
  kRice = 1,        // Golomb-Rice codes of the gaps: about log2(1/ratio) + 1.5 bits each
  kBitmap = 2,      // a bit for each element
  kRiceAbsent = 3,  // Golomb-Rice codes of the gaps between the elements without entry
  kRiceBlocks = 4,  // rice with the length of each block, for decoders that work in parallel
  kAuto = 255,      // the one of the first four that is expected to be the smallest
};

// How values travel. Blocks are of at most 256 entries of one parameter.
enum class ValueFormat : uint8_t {
  kFp32 = 0,
  kBf16 = 1,
  kFp16 = 2,
  kInt8 = 3,  // 255 levels up to the largest magnitude of a block
  kInt4 = 4,  // a sign, and 8 levels from the smallest to the largest magnitude of a block
  kSign = 5,  // a sign, and the mean magnitude of a block (EF-SignSGD)
};

struct FrameFormat {
  IndexFormat indices = IndexFormat::kAuto;
  ValueFormat values = ValueFormat::kFp32;
  // int8 and int4: rounds by chance, without bias (QSGD), not to the nearest level. The
  // chances follow from the seed and the frame's step, bucket and rank.
  bool stochastic = false;
  uint64_t seed = 0;
};

std::vector<std::string> IndexFormatNames();
std::vector<std::string> ValueFormatNames();
std::string IndexFormatName(IndexFormat format);
// InvalidArgument for an unknown name, with those that are known.
Status ParseIndexFormat(std::string_view name, IndexFormat* format);
Status ParseValueFormat(std::string_view name, ValueFormat* format);

// Identifies a frame; receivers compare it with what they wait for.
struct FrameId {
  uint64_t step = 0;
  uint32_t bucket = 0;    // at most 65,535
  uint32_t rank = 0;      // of the sender; at most 65,535
  uint32_t elements = 0;  // of the whole bucket
  bool of_owner = false;  // sums that an owner sends on (collective/split.cc)
};

// A validated frame. Points into the bytes that were validated.
struct FrameView {
  FrameId id;
  bool non_finite = false;
  uint32_t entries = 0;
  uint32_t blocks = 0;
  IndexFormat index_format = IndexFormat::kRaw32;
  ValueFormat value_format = ValueFormat::kFp32;
  std::span<const std::byte> runs;
  std::span<const std::byte> indices;
  std::span<const std::byte> values;
};

// Upper bound of the size, in bytes, of a frame of a bucket of `elements` elements
// with at most `entries` <= `elements` entries of at most `runs` parameters.
size_t MaxFrameBytes(const FrameFormat& format, uint32_t elements, size_t entries, size_t runs);

// Replaces *out by the frame of *selection (indices ascending, below id.elements), and
// selection->values by what a receiver decodes. `run_ends`: where in the selection each
// parameter's entries end, ascending, the last being its size; empty runs are allowed.
// Values must be finite. With `non_finite`, the selection must be empty.
// InvalidArgument when it is not, when an index is out of range or when a number may not
// fit its field.
Status EncodeFrame(const FrameFormat& format, const FrameId& id, std::span<const size_t> run_ends,
                   bool non_finite, Selection* selection, std::vector<std::byte>* out);

// The length of the frame that starts `bytes`, which may be longer (a receive
// buffer of fixed capacity). Corrupt when the header cannot be read or the
// length exceeds bytes.size().
Status FrameLength(std::span<const std::byte> bytes, size_t* length);

// Checks that `frame` is exactly one well-formed frame with identity `expected`
// and at most `max_entries` entries. Corrupt says which field, what was
// expected and what came, from which rank, step and bucket.
Status ValidateFrame(std::span<const std::byte> frame, const FrameId& expected, size_t max_entries,
                     FrameView* view);

// ValidateFrame, with the entries, indices ascending, in one reading: what a receiver does.
// After an error *entries is unspecified.
Status DecodeFrame(std::span<const std::byte> frame, const FrameId& expected, size_t max_entries,
                   FrameView* view, Selection* entries);

}  // namespace cddp

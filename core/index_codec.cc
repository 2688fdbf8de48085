#include "core/index_codec.h"

#include "core/bits.h"

namespace cddp {

bool IndexCodec::Start(size_t, size_t, IndexCursor*) const { return true; }

bool IndexCodec::Finished(IndexCursor* cursor) const {
  const uint64_t bits = 8 * uint64_t{cursor->bytes.size()};
  if (cursor->bit > bits || bits - cursor->bit >= 8) return false;
  return LoadBitsChecked(cursor->bytes, cursor->bit) == 0;
}

const IndexCodec* IndexCodecOf(IndexFormat format) {
  switch (format) {
    case IndexFormat::kRaw32:
      return &Raw32Codec();
    case IndexFormat::kRice:
      return &RiceCodec();
    case IndexFormat::kBitmap:
      return &BitmapCodec();
    case IndexFormat::kRiceAbsent:
      return &RiceAbsentCodec();
    case IndexFormat::kRiceBlocks:
      return &RiceBlocksCodec();
    case IndexFormat::kAuto:
      break;
  }
  return nullptr;
}

IndexFormat SmallestIndexFormat(size_t entries, uint32_t elements) {
  IndexFormat smallest = IndexFormat::kRice;
  double fewest = RiceCodec().ExpectedBits(entries, elements);
  for (IndexFormat format : {IndexFormat::kRiceAbsent, IndexFormat::kBitmap, IndexFormat::kRaw32}) {
    const double bits = IndexCodecOf(format)->ExpectedBits(entries, elements);
    if (bits < fewest) {
      fewest = bits;
      smallest = format;
    }
  }
  return smallest;
}

}  // namespace cddp

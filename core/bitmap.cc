// One bit for each element, set where there is an entry.
#include <bit>
#include <cstring>

#include "core/bits.h"
#include "core/index_codec.h"

namespace cddp {
namespace {

size_t Bytes(uint32_t elements) { return (size_t{elements} + 7) / 8; }

class Bitmap final : public IndexCodec {
 public:
  std::string_view name() const override { return "bitmap"; }

  double ExpectedBits(size_t, uint32_t elements) const override { return elements; }

  size_t MaxBytes(size_t, uint32_t elements, size_t) const override { return Bytes(elements); }

  size_t Encode(const IndexSet& set, std::byte* out) const override {
    const size_t bytes = Bytes(set.elements);
    std::memset(out, 0, bytes);
    for (uint32_t index : set.indices) out[index / 8] |= std::byte{1} << (index % 8);
    return bytes;
  }

  bool Start(size_t, size_t, IndexCursor* cursor) const override {
    return cursor->bytes.size() == Bytes(cursor->elements);
  }

  bool Next(IndexCursor* cursor, size_t count, uint32_t* indices) const override {
    constexpr uint64_t kLoaded = 57;  // bits
    for (size_t i = 0; i < count;) {
      if (cursor->bit >= cursor->elements) return false;
      uint64_t word = LoadBitsChecked(cursor->bytes, cursor->bit) & ((uint64_t{1} << kLoaded) - 1);
      while (word != 0 && i < count) {
        const uint64_t index = cursor->bit + static_cast<unsigned>(std::countr_zero(word));
        if (index >= cursor->elements) return false;
        indices[i++] = static_cast<uint32_t>(index);
        word &= word - 1;
      }
      cursor->bit = word == 0 ? cursor->bit + kLoaded : uint64_t{indices[i - 1]} + 1;
    }
    return true;
  }

  bool Finished(IndexCursor* cursor) const override {
    for (; cursor->bit / 8 < cursor->bytes.size(); cursor->bit += 56) {
      if (LoadBitsChecked(cursor->bytes, cursor->bit) != 0) return false;
    }
    return true;
  }
};

}  // namespace

const IndexCodec& BitmapCodec() {
  static const Bitmap codec;
  return codec;
}

}  // namespace cddp

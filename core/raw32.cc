// Indices as they are: 32 bits each.
#include <cstring>

#include "core/index_codec.h"

namespace cddp {
namespace {

class Raw32 final : public IndexCodec {
 public:
  std::string_view name() const override { return "raw32"; }

  double ExpectedBits(size_t entries, uint32_t) const override {
    return 32.0 * static_cast<double>(entries);
  }

  size_t MaxBytes(size_t entries, uint32_t, size_t) const override {
    return sizeof(uint32_t) * entries;
  }

  size_t Encode(const IndexSet& set, std::byte* out) const override {
    if (!set.indices.empty()) std::memcpy(out, set.indices.data(), set.indices.size_bytes());
    return set.indices.size_bytes();
  }

  bool Start(size_t entries, size_t, IndexCursor* cursor) const override {
    return cursor->bytes.size() == entries * sizeof(uint32_t);
  }

  bool Next(IndexCursor* cursor, size_t count, uint32_t* indices) const override {
    const auto at = static_cast<size_t>(cursor->bit / 8);
    if (cursor->bytes.size() - at < count * sizeof(uint32_t)) return false;
    std::memcpy(indices, cursor->bytes.data() + at, count * sizeof(uint32_t));
    bool ascending = true;
    int64_t last = cursor->last;
    for (size_t i = 0; i < count; ++i) {
      ascending &= int64_t{indices[i]} > last;
      last = indices[i];
    }
    cursor->last = last;
    cursor->bit += 32 * count;
    return ascending && last < int64_t{cursor->elements};
  }
};

}  // namespace

const IndexCodec& Raw32Codec() {
  static const Raw32 codec;
  return codec;
}

}  // namespace cddp

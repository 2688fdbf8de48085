#include "collective/sparse_sum.h"

#include <algorithm>
#include <cstdint>

#include "core/sweep.h"

namespace cddp {
namespace {

// 64 KiB: they stay in the second cache.
constexpr size_t kStretch = 16384;

}  // namespace

bool SparseSum::Into(std::span<const Selection> parts, float divisor, std::span<float> dense) {
  const bool stream =
      dense.size() >= kStreamElements && reinterpret_cast<uintptr_t>(dense.data()) % 64 == 0;
  stretch_.resize(kStretch);
  next_.assign(parts.size(), 0);
  bool finite = true;
  for (size_t begin = 0; begin < dense.size(); begin += kStretch) {
    const size_t count = std::min(kStretch, dense.size() - begin);
    std::fill_n(stretch_.data(), count, 0.0f);
    for (size_t p = 0; p < parts.size(); ++p) {
      const Selection& part = parts[p];
      size_t entry = next_[p];
      for (; entry < part.size() && part.indices[entry] - begin < count; ++entry) {
        stretch_[part.indices[entry] - begin] += part.values[entry];
      }
      next_[p] = entry;
    }
    finite &= Divide(std::span(stretch_).first(count), divisor, &dense[begin], stream);
  }
  if (stream) FlushStreamed();
  return finite;
}

}  // namespace cddp

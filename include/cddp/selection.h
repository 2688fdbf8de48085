// Selection: which entries of an accumulated gradient are sent.
//
// Magnitudes are compared as the bits of |v| (a total order: 0 < denormals <
// normals < Inf < NaN), so every target and every thread count gives the same
// answer. Callers keep non-finite values out (see memory.h); should one come,
// it counts as the largest.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "cddp/status.h"

namespace cddp {

// Selected entries, indices strictly ascending. indices[i] goes with values[i].
struct Selection {
  std::vector<uint32_t> indices;
  std::vector<float> values;

  size_t size() const { return indices.size(); }
  void Clear() {
    indices.clear();
    values.clear();
  }
};

// Ok when 0 < ratio <= 1 (NaN is not).
Status ValidateRatio(double ratio);

// k = max(1, ceil(ratio * elements)), at most `elements`; 0 for no elements.
// A product within 1e-9 (relative) of an integer counts as that integer, so that
// 0.07 of 100, in floating point a little over 7, is 7.
size_t SelectionCount(size_t elements, double ratio);

// A rule that picks k of n entries. Implementations keep scratch memory between
// calls: one object per thread.
class Selector {
 public:
  virtual ~Selector() = default;
  virtual std::string_view name() const = 0;

  // Appends exactly min(k, n) entries of `values` to *out, with `base` added to
  // each index. Requires base + n <= 2^32. Deterministic.
  virtual void Select(std::span<const float> values, size_t k, uint32_t base, Selection* out) = 0;
};

// Exact Top-K: the k largest magnitudes, ties to the lowest index.
// Extra memory: 12 bytes per candidate, at most 2k + 4096 candidates, and 8 KiB.
// (Aji & Heafield, EMNLP 2017; Lin et al., ICLR 2018.)
std::unique_ptr<Selector> MakeTopKSelector();

// The selector called `name` ("topk"), or InvalidArgument that lists the names.
Status MakeSelector(std::string_view name, std::unique_ptr<Selector>* selector);

}  // namespace cddp

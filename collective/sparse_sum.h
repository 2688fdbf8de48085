// The sum of sparse vectors as a dense one.
#pragma once

#include <span>
#include <vector>

#include "cddp/selection.h"
#include "core/aligned.h"

namespace cddp {

class SparseSum {
 public:
  // dense[i] = (0 + parts[0][i] + parts[1][i] + ...) / divisor, added in this order; the parts'
  // indices ascend and lie in `dense`, whose contents before do not matter. False when
  // a result is not finite.
  //
  // A stretch at a time is added up in the cache, and `dense` only written, past the cache
  // where it is larger: entries one by one would wait for memory, each twice.
  bool Into(std::span<const Selection> parts, float divisor, std::span<float> dense);

 private:
  AlignedFloats stretch_;
  std::vector<size_t> next_;  // entry of each part
};

}  // namespace cddp

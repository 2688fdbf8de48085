#include "core/oracle.h"

#include <algorithm>
#include <bit>
#include <numeric>

#include "core/sweep.h"

namespace cddp {

Selection SelectTopKOracle(std::span<const float> values, size_t k, uint32_t base) {
  std::vector<uint32_t> order(values.size());
  std::iota(order.begin(), order.end(), 0u);
  std::stable_sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) {
    return (std::bit_cast<uint32_t>(values[a]) & kMagnitudeMask) >
           (std::bit_cast<uint32_t>(values[b]) & kMagnitudeMask);
  });
  order.resize(std::min(k, values.size()));
  std::sort(order.begin(), order.end());

  Selection selection;
  for (uint32_t i : order) {
    selection.indices.push_back(base + i);
    selection.values.push_back(values[i]);
  }
  return selection;
}

}  // namespace cddp

// The median of measurements.
#pragma once

#include <algorithm>
#include <vector>

namespace cddp {

// Of at least one value; of an even number the upper of the middle two.
inline double MedianOf(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<ptrdiff_t>(values.size() / 2);
  std::ranges::nth_element(values, middle);
  return *middle;
}

}  // namespace cddp

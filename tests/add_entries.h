// What a frame's entries add up to.
#pragma once

#include <vector>

#include "cddp/selection.h"

namespace cddp {

// dense[index] += value for each entry.
inline void AddEntries(const Selection& entries, std::vector<float>* dense) {
  for (size_t i = 0; i < entries.size(); ++i) (*dense)[entries.indices[i]] += entries.values[i];
}

}  // namespace cddp

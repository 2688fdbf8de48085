// Runs and blocks: the entries of one parameter are a run; a run is cut into blocks
// of at most kBlockEntries, the last of a run being shorter. What is chosen or scaled
// per block therefore never mixes two parameters.
#pragma once

#include <algorithm>
#include <cstddef>
#include <span>

namespace cddp {

inline constexpr size_t kBlockEntries = 256;

// Calls visit(begin, count) for each block of runs that end at these entries.
template <typename Visit>
void ForBlocks(std::span<const size_t> run_ends, Visit visit) {
  size_t begin = 0;
  for (size_t end : run_ends) {
    for (; begin < end; begin += std::min(kBlockEntries, end - begin)) {
      visit(begin, std::min(kBlockEntries, end - begin));
    }
  }
}

// The most blocks that `entries` in `runs` runs can make.
constexpr size_t MaxBlocks(size_t entries, size_t runs) {
  return std::min(entries, entries / kBlockEntries + runs);
}

}  // namespace cddp

// The oracle of selection: Top-K by sorting all elements. Slow and obviously
// right; every other implementation is tested against it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "cddp/selection.h"

namespace cddp {

// The min(k, n) largest magnitudes, ties to the lowest index, indices ascending.
Selection SelectTopKOracle(std::span<const float> values, size_t k, uint32_t base = 0);

}  // namespace cddp

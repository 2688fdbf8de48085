// Budgets: how a global ratio is shared out among parameters.
//
// A uniform ratio sends as much of a parameter that has converged as of one that
// learns. An adaptive one gives more to parameters with more gradient energy, under
// the same total.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "cddp/status.h"

namespace cddp {

struct ParameterEnergy {
  size_t elements = 0;  // at least 1
  double energy = 0;    // sum of squares of the gradient over its elements and all ranks
};

// Entries per parameter: as many in all as with SelectionCount(elements, ratio) each,
// in proportion to sqrt(elements * energy), Neyman's allocation of a sample to
// strata (1934, section V), each between a quarter of its uniform count and all of
// its elements. Deterministic: the same numbers give the same budgets. Requires a
// ratio in (0, 1] and finite energies >= 0; without any energy the budgets are the
// uniform ones.
std::vector<size_t> PlanBudgets(std::span<const ParameterEnergy> parameters, double ratio);

}  // namespace cddp

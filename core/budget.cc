#include "cddp/budget.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "cddp/selection.h"

namespace cddp {

std::vector<size_t> PlanBudgets(std::span<const ParameterEnergy> parameters, double ratio) {
  const size_t count = parameters.size();
  std::vector<size_t> uniform(count), floors(count);
  std::vector<double> weights(count);
  size_t total = 0;
  for (size_t p = 0; p < count; ++p) {
    uniform[p] = SelectionCount(parameters[p].elements, ratio);
    floors[p] = std::max<size_t>(1, uniform[p] / 4);
    weights[p] = std::sqrt(static_cast<double>(parameters[p].elements) * parameters[p].energy);
    total += uniform[p];
  }

  // What is above the floors is shared out by weight; a parameter that is full leaves
  // the rest to the others, so that there are at most `count` rounds.
  std::vector<size_t> budgets = floors;
  const size_t floor_total = std::accumulate(floors.begin(), floors.end(), size_t{0});
  std::vector<bool> open(count, true);
  while (true) {
    const size_t given = std::accumulate(budgets.begin(), budgets.end(), size_t{0});
    const auto left = static_cast<double>(total - given);
    double weight = 0;
    for (size_t p = 0; p < count; ++p) weight += open[p] ? weights[p] : 0;
    if (left == 0) return budgets;
    if (weight == 0) {
      // No energy to go by, or none left: by size.
      for (size_t p = 0; p < count; ++p) weights[p] = static_cast<double>(parameters[p].elements);
      if (given == floor_total) return uniform;
      continue;
    }
    bool filled = false;
    for (size_t p = 0; p < count; ++p) {
      const size_t room = parameters[p].elements - budgets[p];
      if (!open[p] || left * weights[p] / weight < static_cast<double>(room)) continue;
      budgets[p] = parameters[p].elements;
      open[p] = false;
      filled = true;
    }
    if (filled) continue;

    // Whole shares first, then what is left over by largest remainder.
    std::vector<std::pair<double, size_t>> remainders;
    size_t rest = total - given;
    for (size_t p = 0; p < count; ++p) {
      if (!open[p]) continue;
      const double share = left * weights[p] / weight;
      const auto whole = std::min(static_cast<size_t>(share), rest);
      budgets[p] += whole;
      rest -= whole;
      remainders.emplace_back(share - std::floor(share), p);
    }
    std::ranges::stable_sort(remainders, std::greater<>(), &std::pair<double, size_t>::first);
    for (size_t i = 0; rest > 0 && i < remainders.size(); ++i) {
      const size_t p = remainders[i].second;
      if (budgets[p] == parameters[p].elements) continue;
      ++budgets[p];
      --rest;
    }
    return budgets;
  }
}

}  // namespace cddp

// How a global ratio is shared out.
#include "cddp/budget.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

#include "cddp/selection.h"
#include "tests/core/random_bits.h"

namespace cddp {
namespace {

size_t UniformTotal(std::span<const ParameterEnergy> parameters, double ratio) {
  size_t total = 0;
  for (const auto& p : parameters) total += SelectionCount(p.elements, ratio);
  return total;
}

TEST(Budget, BiggerShareWhereTheEnergyIs) {
  const std::vector<ParameterEnergy> parameters = {{10'000, 1.0}, {10'000, 100.0}, {10'000, 25.0}};
  const std::vector<size_t> budgets = PlanBudgets(parameters, 0.01);
  // Floors of 25, and 225 shared out as 1 : 10 : 5.
  EXPECT_EQ(budgets, (std::vector<size_t>{39, 166, 95}));
}

TEST(Budget, EqualDensityIsUniform) {
  const std::vector<ParameterEnergy> parameters = {{1'000, 1.0}, {3'000, 3.0}, {60'000, 60.0}};
  EXPECT_EQ(PlanBudgets(parameters, 0.1), (std::vector<size_t>{100, 300, 6'000}));
}

TEST(Budget, WithoutEnergyUniform) {
  const std::vector<ParameterEnergy> parameters = {{1'000, 0.0}, {5, 0.0}};
  EXPECT_EQ(PlanBudgets(parameters, 0.01), (std::vector<size_t>{10, 1}));
  EXPECT_TRUE(PlanBudgets({}, 0.01).empty());
}

// A parameter that is full leaves the rest to the others.
TEST(Budget, NoParameterGetsMoreThanItHas) {
  const std::vector<ParameterEnergy> parameters = {{100, 1e12}, {100'000, 1.0}};
  const std::vector<size_t> budgets = PlanBudgets(parameters, 0.5);
  EXPECT_EQ(budgets, (std::vector<size_t>{100, 49'950}));
  EXPECT_EQ(PlanBudgets(std::vector<ParameterEnergy>{{100, 1e12}, {100'000, 0.0}}, 0.5), budgets);
}

TEST(Budget, KeepsTheTotalWhateverTheEnergies) {
  RandomBits bits(1);
  for (int round = 0; round < 2'000; ++round) {
    std::vector<ParameterEnergy> parameters(1 + bits.Below(12));
    for (auto& p : parameters) {
      p.elements = 1 + bits.Below(5'000);
      p.energy = bits.Below(4) == 0 ? 0.0 : std::ldexp(1.0, static_cast<int>(bits.Below(80)) - 40);
    }
    bool any = false;
    for (const auto& p : parameters) any |= p.energy > 0;
    const double ratio = std::ldexp(1.0, -static_cast<int>(bits.Below(10)));
    const std::vector<size_t> budgets = PlanBudgets(parameters, ratio);
    const size_t total = std::accumulate(budgets.begin(), budgets.end(), size_t{0});
    ASSERT_EQ(total, UniformTotal(parameters, ratio)) << round << (any ? "" : ", no energy");
    for (size_t p = 0; p < parameters.size(); ++p) {
      ASSERT_GE(budgets[p], std::max<size_t>(1, SelectionCount(parameters[p].elements, ratio) / 4));
      ASSERT_LE(budgets[p], parameters[p].elements);
    }
  }
}

}  // namespace
}  // namespace cddp

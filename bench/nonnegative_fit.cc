#include "bench/nonnegative_fit.h"

#include <bit>
#include <cmath>
#include <limits>
#include <numeric>

namespace cddp {
namespace {

using Vector = std::vector<double>;

// Sets of coefficients whose residuals differ by less are alike: rounding.
constexpr double kAlike = 1e-9;

double Dot(const Vector& a, const Vector& b) {
  return std::inner_product(a.begin(), a.end(), b.begin(), 0.0);
}

void Subtract(double factor, const Vector& from, Vector* of) {
  for (size_t i = 0; i < from.size(); ++i) (*of)[i] -= factor * from[i];
}

// Least squares for a right-hand side of ones by Gram-Schmidt: columns become
// orthonormal, and what they take from the ones are their coefficients. Leaves what
// remains in `residual`. Columns that depend on each other come out as NaN or, by
// rounding, as large coefficients of opposite signs: nothing that is kept.
Vector Solve(std::vector<Vector> columns, Vector* residual) {
  const size_t n = columns.size();
  std::vector<Vector> upper(n, Vector(n, 0));
  Vector taken(n);
  for (size_t j = 0; j < n; ++j) {
    for (size_t i = 0; i < j; ++i) {
      upper[i][j] = Dot(columns[i], columns[j]);
      Subtract(upper[i][j], columns[i], &columns[j]);
    }
    upper[j][j] = std::sqrt(Dot(columns[j], columns[j]));
    for (double& value : columns[j]) value /= upper[j][j];
    taken[j] = Dot(columns[j], *residual);
    Subtract(taken[j], columns[j], residual);
  }
  for (size_t j = n; j-- > 0;) {
    for (size_t k = j + 1; k < n; ++k) taken[j] -= upper[j][k] * taken[k];
    taken[j] /= upper[j][j];
  }
  return taken;
}

}  // namespace

Vector FitNonnegative(const std::vector<Vector>& rows, const Vector& targets, int max_terms) {
  const size_t width = rows.front().size();
  std::vector<Vector> columns(width, Vector(rows.size()));
  for (size_t i = 0; i < rows.size(); ++i) {
    for (size_t j = 0; j < width; ++j) columns[j][i] = rows[i][j] / targets[i];
  }
  Vector best(width, 0);
  double best_norm = std::numeric_limits<double>::infinity();
  for (int terms = 1; terms <= max_terms; ++terms) {
    for (unsigned set = 1; set < (1u << width); ++set) {
      if (std::popcount(set) != terms) continue;
      std::vector<Vector> active;
      for (size_t j = 0; j < width; ++j) {
        if ((set >> j & 1) != 0) active.push_back(columns[j]);
      }
      Vector residual(rows.size(), 1.0);
      const Vector solution = Solve(active, &residual);
      const double norm = std::sqrt(Dot(residual, residual));
      bool feasible = norm + kAlike < best_norm;
      for (double coefficient : solution) feasible = feasible && coefficient >= 0;
      if (!feasible) continue;
      best_norm = norm;
      size_t next = 0;
      for (size_t j = 0; j < width; ++j) best[j] = (set >> j & 1) != 0 ? solution[next++] : 0;
    }
  }
  return best;
}

}  // namespace cddp

// Least squares with coefficients that cannot be negative.
#pragma once

#include <vector>

namespace cddp {

// The c >= 0, of which at most `max_terms` are above 0, that minimise the sum of squared
// relative errors
//
//   sum over i of (1 - (sum over j of c[j] rows[i][j]) / targets[i])^2,
//
// so that short times count as much as long ones. Every set of coefficients above 0 is
// tried (Lawson & Hanson 1974, chapter 23, know the shortcut for many columns; there are
// three at most here); of sets that fit alike the smaller one is taken, then the one with
// the earlier columns. Targets must be above 0, rows 0 or above, and there must be one.
// Deterministic.
std::vector<double> FitNonnegative(const std::vector<std::vector<double>>& rows,
                                   const std::vector<double>& targets, int max_terms);

}  // namespace cddp

#include "bench/amdahl.h"

#include <algorithm>

namespace cddp {

double AmdahlSpeedup(double serial_fraction, int workers) {
  return 1 / (serial_fraction + (1 - serial_fraction) / workers);
}

double FitSerialFraction(const std::vector<std::pair<int, double>>& speedups) {
  double xy = 0;
  double xx = 0;
  for (const auto& [workers, speedup] : speedups) {
    const double x = 1 - 1.0 / workers;
    xy += x * (1 / speedup - 1.0 / workers);
    xx += x * x;
  }
  return std::clamp(xy / xx, 0.0, 1.0);
}

}  // namespace cddp

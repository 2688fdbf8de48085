// Amdahl's law (Amdahl 1967): with a serial fraction s of the work, P workers are
//
//   S(P) = 1 / (s + (1 - s) / P)
//
// times as fast as one, and never faster than 1 / s. Here S(P) is throughput over that of
// one worker, and s what of a step does not get shorter by adding workers: it says how
// far measured speed-ups fall short, not why. Communication that grows with P makes them
// fall shorter still than the law projects.
#pragma once

#include <utility>
#include <vector>

namespace cddp {

double AmdahlSpeedup(double serial_fraction, int workers);

// The serial fraction in [0, 1] by least squares over (workers, speed-up) pairs of more
// than one worker, of which there must be one: 1/S - 1/P = s (1 - 1/P) is linear in s.
// Speed-ups must be above 0; above P they give 0, below 1 they give 1.
double FitSerialFraction(const std::vector<std::pair<int, double>>& speedups);

}  // namespace cddp

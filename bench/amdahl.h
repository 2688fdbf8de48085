// Amdahl's law (Amdahl 1967): of a step the fraction s stays as long as it is when n times as
// many workers share its work, so that the step is
//
//   S(n) = 1 / (s + (1 - s) / n)
//
// times as fast, and never faster than 1 / s. Here s is measured: what of a step of P workers
// is waited for the exchange. The batch of those P is what more workers share. Communication
// that grows with the workers makes them slower than the law says.
#pragma once

namespace cddp {

inline double AmdahlSpeedup(double serial_fraction, double times_workers) {
  return 1 / (serial_fraction + (1 - serial_fraction) / times_workers);
}

}  // namespace cddp

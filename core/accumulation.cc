#include "cddp/accumulation.h"

#include "core/sweep.h"

namespace cddp {

Swept Accumulation::Sweep(Pass pass, size_t begin, size_t count, uint32_t threshold, Entries out) {
  const Swept swept = DoSweep(pass, begin, count, threshold, out);
  if (pass == Pass::kFirst) swept_.fetch_add(count, std::memory_order_relaxed);
  if (!swept.finite()) finite_.store(false, std::memory_order_relaxed);
  return swept;
}

std::span<const float> Accumulation::Values() {
  if (swept_ == 0 && size() > 0) {
    Sweep(Pass::kFirst, 0, size(), kTakeNothing, {.indices = nullptr, .values = nullptr});
  }
  return SweptValues();
}

}  // namespace cddp

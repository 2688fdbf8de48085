#include "trainer/schedule.h"

#include <cmath>
#include <numbers>

namespace cddp {

std::vector<std::string> ScheduleNames() { return {"constant", "cosine"}; }

double ScheduleFactor(const std::string& schedule, uint64_t step, uint64_t total_steps) {
  if (schedule != "cosine") return 1.0;
  const double progress = static_cast<double>(step) / static_cast<double>(total_steps);
  return 0.5 * (1.0 + std::cos(std::numbers::pi * progress));
}

double WarmUpRatio(double ratio, int epoch, int warmup_epochs) {
  if (epoch > warmup_epochs) return ratio;
  return std::pow(ratio, static_cast<double>(epoch) / (warmup_epochs + 1));
}

}  // namespace cddp

// Learning-rate schedules: the rate of each step as a share of the base rate.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace cddp {

std::vector<std::string> ScheduleNames();

// The factor of `step` (from 0) of `total_steps`, in [0, 1]. "constant": 1.
// "cosine": from 1 down to 0 in half a cosine (Loshchilov & Hutter 2017, one
// cycle). Requires a name of ScheduleNames().
double ScheduleFactor(const std::string& schedule, uint64_t step, uint64_t total_steps);

}  // namespace cddp

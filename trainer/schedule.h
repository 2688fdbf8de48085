// What changes over a run: the learning rate of each step as a share of the base
// rate, and the compression ratio of each epoch.
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

// The ratio of `epoch` (from 1): in the first `warmup_epochs` it falls by equal
// factors from 1 towards `ratio`, then stays there. For 0.001 and four epochs 0.25,
// 0.063, 0.016, 0.004 (Lin et al. 2018, section 3.3).
double WarmUpRatio(double ratio, int epoch, int warmup_epochs);

}  // namespace cddp

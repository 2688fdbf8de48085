// What changes over a run: the learning rate of each step and the compression ratio of
// each epoch. Both depend on nothing but the options and the step: a resumed run needs
// no state of them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "trainer/options.h"

namespace cddp {

std::vector<std::string> ScheduleNames();

// The learning rate of each step of a run. Thread safe.
//
// The peak rate is options.lr, with scale_lr times the batches that make a step:
// `world_size` times options.accumulate (the linear scaling rule: Goyal et al. 2017,
// section 2.1). In the W steps of the first lr_warmup_epochs
// it climbs to the peak by equal amounts: from 0 to peak/W, 2 peak/W, ...; with scale_lr
// from options.lr instead of 0 (section 2.2). After that, by `schedule`:
//
//   constant   peak
//   multistep  peak * gamma^(milestones that are behind), in epochs: with milestone 5
//              the epochs 1 to 5 are trained at the rate before, epoch 6 at the next
//   cosine     from the peak down to 0 in half a cosine over the steps after the warm-up
//              (Loshchilov & Hutter 2017, one cycle)
//   onecycle   as torch.optim.lr_scheduler.OneCycleLR with its defaults (Smith & Topin
//              2018): up from peak/25 during 30% of the steps, then down to
//              peak/250,000, both by half a cosine. The momentum stays.
class RateSchedule {
 public:
  // Of a resolved run of options.epochs epochs of `steps_per_epoch` optimiser steps.
  RateSchedule(const TrainOptions& options, int world_size, uint64_t steps_per_epoch);

  // The rate of `step`, counted from 0 over the run; at least 0.
  double Rate(uint64_t step) const;

 private:
  double Factor(uint64_t step) const;  // of the peak, after the warm-up

  std::string name_;
  double start_;
  double peak_;
  double gamma_;
  std::vector<int> milestones_;
  uint64_t steps_per_epoch_;
  uint64_t warmup_steps_;
  uint64_t total_steps_;
};

// The ratio of `epoch` (from 1) and `step` of the run (from 0): in the first warmup_epochs it
// falls from epoch to epoch by equal factors from 1 towards the options' ratio, then stays there.
// For 0.001 and four epochs 0.25, 0.063, 0.016, 0.004 (Lin et al. 2018, section 3.3). In
// the first warmup_steps it falls from step to step, from the 0.25 that the paper begins with.
double WarmUpRatio(const TrainOptions& options, int epoch, uint64_t step);

}  // namespace cddp

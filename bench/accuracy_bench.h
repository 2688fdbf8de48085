// `cddp bench accuracy`: what compression costs in accuracy, without a network.
//
// The ranks of a data-parallel training take turns in this process: each computes
// the gradient of its own part of the global batch for the same parameters, then
// all combine them through the collective that `cddp train` would use, over an
// in-process transport. Replicas are bit-identical (the collective's law, tested
// elsewhere), so one copy of the parameters stands for all. That is cheaper than as
// many processes, and the same seed and number of threads give the same accuracy. A
// gradient that is not finite ends it: no step is skipped.
#pragma once

#include "trainer/options.h"

namespace cddp {

// Trains options.workers ranks as `options` (resolved) say, shows progress and writes
// the JSON report. Returns the exit code; throws StatusError like Train.
int AccuracyBench(const TrainOptions& options);

}  // namespace cddp

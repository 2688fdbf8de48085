// The points of a run's curves: what its evaluations said, and when.
#pragma once

#include <vector>

#include "trainer/history.h"

namespace cddp {

struct EvaluationPoint {
  double epoch = 0;    // trained; within one a fraction
  double seconds = 0;  // of training, since the start
  double bytes = 0;    // sent by a worker, since the start
  double test_loss = 0;
  double quality = 0;  // accuracy in percent, or of a text bits per byte
};

// The ends of the epochs, and the evaluations between them (--eval-every-steps), in order. Within
// an epoch all steps count as sending the same. Where the number of workers changed, the place of
// an evaluation may not be known: it is left out. Losses and qualities may be NaN or infinite.
std::vector<EvaluationPoint> EvaluationPoints(const TrainingSummary& run,
                                              const std::vector<EpochRecord>& history);

// Whether some of the points lie between the ends of epochs.
bool AnyWithinEpochs(const std::vector<EvaluationPoint>& points);

}  // namespace cddp

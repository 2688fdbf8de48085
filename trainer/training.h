// The training loop: one run of a model on a data set over the workers of a World.
#pragma once

#include "ddp/world.h"
#include "trainer/data/samples.h"
#include "trainer/history.h"
#include "trainer/options.h"

namespace cddp {

// Trains as `options` (resolved) say and evaluates on the test set after each
// epoch, sharded over the workers. Rank 0 shows progress and keeps `folder`
// (null: keeps nothing) up to date. Every rank gets the same summary.
//
// The gradients of a step weigh each sample of the global batch alike, also when
// the workers' shares differ. A step with non-finite gradients is void on every
// rank: parameters and memories stay as they were, and its loss does not count.
//
// Goes on from the checkpoint that options.resume names, and saves some as it goes
// (run_checkpoints.h), in options.checkpoint_dir or `folder`.
//
// Collective. Throws StatusError: kInvalidArgument (batch larger than a worker's
// share of the samples, a checkpoint that does not fit), kInterrupted, kPeerLost, kCorrupt,
// kDiverged after 20 void steps in a row or with a test loss that is not finite at the end,
// kInternal when the replicas differ at the end of an epoch.
TrainingSummary Train(const TrainOptions& options, World& world, const DatasetSplits& data,
                      const RunFolder* folder);

}  // namespace cddp

// From the command line to samples.
#pragma once

#include <cstdint>

#include "trainer/data/samples.h"
#include "trainer/options.h"

namespace cddp {

// The samples of `options` (resolved, at least by ResolveData): of its data set, fetched
// first when files are missing, with progress on standard error; or of its text file.
// Throws StatusError: kUnavailable when something cannot be had, kCorrupt when it is not
// what it should be, kInvalidArgument for a text that is too short.
DatasetSplits LoadOrFetchDataset(const TrainOptions& options);

// Samples of an epoch: all, or as many as the options say.
uint32_t SamplesPerEpoch(const TrainOptions& options, const DatasetSplits& data);

// Samples that an evaluation takes: the test split, or its first --max-test-samples.
uint32_t SamplesTested(const TrainOptions& options, const DatasetSplits& data);

// Throws StatusError(kInvalidArgument) when the batch is larger than a worker's
// share of the samples; to be asked before workers meet.
void RequireBatchFits(const TrainOptions& options, int world_size, const DatasetSplits& data);

}  // namespace cddp

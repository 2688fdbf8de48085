// From the command line to samples.
#pragma once

#include "trainer/data/samples.h"
#include "trainer/options.h"

namespace cddp {

// The samples of `options` (resolved, at least by ResolveData): of its data set, fetched
// first when files are missing, with progress on standard error; or of its text file.
// Throws StatusError: kUnavailable when something cannot be had, kCorrupt when it is not
// what it should be, kInvalidArgument for a text that is too short.
DatasetSplits LoadOrFetchDataset(const TrainOptions& options);

}  // namespace cddp

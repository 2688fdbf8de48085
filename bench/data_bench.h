// `cddp bench data`: how fast batches are made.
//
// Columns: dataset, augment, batch_size, samples (of an epoch), epochs,
// samples_per_s_median and samples_per_s_min over the epochs: what the one thread of the
// training loop's loader makes when nobody else needs the processor and batches are
// taken at once.
#pragma once

#include <CLI/CLI.hpp>

#include "trainer/options.h"

namespace cddp {

void AddDataBenchOptions(CLI::App* app, TrainOptions* options);

// Measures, prints and reports (--json) for `options` (resolved by ResolveData). Returns the exit
// code or throws StatusError.
int DataBench(const TrainOptions& options);

}  // namespace cddp

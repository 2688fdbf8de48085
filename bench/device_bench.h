// `cddp bench select` and `cddp bench wire` with --device cuda (cuda/cuda_bench.h).
#pragma once

#include "bench/select_bench.h"
#include "bench/wire_bench.h"

namespace cddp {

// Measure and report as on the CPU. Return the exit code or throw StatusError: kInvalidArgument
// for options that are the CPU's and for what is not there, naming it.
int SelectBenchOnDevice(const SelectBenchOptions& options);
int WireBenchOnDevice(const WireBenchOptions& options);

}  // namespace cddp

// How many threads a worker has, of the processor cores that are there for it.
#pragma once

#include "trainer/options.h"

namespace cddp {

// The cores that the system lets this process run on: those of the machine, or fewer where
// taskset, a container or a launcher (mpirun, srun) has bound it to some. At least 1.
int UsableCores();

// For each of the `workers` that this process is to start: --threads, else OMP_NUM_THREADS,
// else the usable cores, shared out. At least 1.
int ThreadsToShareOut(const TrainOptions& options, int workers);

// Of this worker, one of `local_workers` on this machine: --threads, else OMP_NUM_THREADS,
// else the usable cores, all of them where they are not the whole machine (a launcher has
// shared them out already) or its share. torchrun sets OMP_NUM_THREADS to 1 for whoever has
// not set it: there it does not count.
int ThreadsPerWorker(const TrainOptions& options, int local_workers);

}  // namespace cddp

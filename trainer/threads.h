// How many threads a worker has, of the processor cores that are there for it.
#pragma once

#include <optional>
#include <string>

#include "trainer/options.h"

namespace cddp {

// The cores that the system lets this process use: those of the machine, or fewer where
// taskset, a container or a launcher (mpirun, srun) has bound it to some, or a container's
// cgroup (version 2) grants the time of fewer. At least 1.
int UsableCores();

// How many whole cores' time a cgroup's cpu.max ("200000 100000") grants, at least 1; none when
// that is "max", or no such text.
std::optional<int> CoresOfQuota(const std::string& cpu_max);

// For each of the `workers` that this process is to start: --threads, else OMP_NUM_THREADS,
// else the usable cores, shared out. At least 1.
int ThreadsToShareOut(const TrainOptions& options, int workers);

// Of this worker, one of `local_workers` on this machine: --threads, else OMP_NUM_THREADS,
// else the usable cores: all of them where it is bound to some (mpirun and srun have shared them
// out already), else its share. torchrun binds to none, and sets OMP_NUM_THREADS to 1 for
// whoever has not set it: there it does not count.
int ThreadsPerWorker(const TrainOptions& options, int local_workers);

}  // namespace cddp

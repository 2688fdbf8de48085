// What a launcher tells a worker about its place, by environment variables. The first of
// these launchers whose variables are there counts, so that what it was itself started
// under (mpirun in a Slurm job, torchrun under srun) does not:
//
//   torchrun  RANK, WORLD_SIZE, LOCAL_RANK, LOCAL_WORLD_SIZE; TORCHELASTIC_USE_AGENT_STORE,
//             TORCHELASTIC_RESTART_COUNT. Set by hand or by --workers they are the same.
//   mpirun    Open MPI's: OMPI_COMM_WORLD_RANK, _SIZE, _LOCAL_RANK, _LOCAL_SIZE;
//             PMIX_NAMESPACE (job)
//   mpiexec   MPICH's and Intel MPI's (Hydra): PMI_RANK, PMI_SIZE, MPI_LOCALRANKID,
//             MPI_LOCALNRANKS
//   srun      SLURM_PROCID, SLURM_LOCALID, SLURM_STEP_NUM_TASKS, SLURM_JOB_ID, SLURM_STEP_ID,
//             SLURM_STEP_NUM_NODES, SLURM_STEP_NODELIST, SLURM_STEP_TASKS_PER_NODE,
//             SLURM_NODEID. Batch scripts and shells of an allocation have some of them, but
//             are no step that srun has started.
//
// Workers meet at MASTER_ADDR and MASTER_PORT. Where these are not set: under torchrun's
// variables and mpiexec's at port 29500; under the others at one from 15000 to 24999 that
// follows from the job, so that jobs of one machine do not meet each other. The address is
// 127.0.0.1, but under srun with several machines the first host of the step, where rank 0
// is. mpirun and mpiexec do not say where that is: with several machines MASTER_ADDR must be
// set.
#pragma once

#include <functional>
#include <string>

namespace cddp {

struct LaunchEnvironment {
  // Of the table above; empty when no launcher has started this process. One that has
  // started a single worker, other than torchrun, counts as none: that worker may start
  // local ones itself.
  std::string launcher;
  int rank = 0;
  int world_size = 1;
  int local_rank = 0;  // among the workers of this machine; 0 where it is not said
  int local_world_size = 1;
  std::string master_address = "127.0.0.1";
  int master_port = 29500;
  // torchrun's agent serves the store: every rank is a client of it.
  bool agent_store = false;
  int restart_count = 0;
};

// The value of an environment variable, or null.
using EnvironmentLookup = std::function<const char*(const char* name)>;

// No launcher means one worker. Throws StatusError(kInvalidArgument) naming the variable
// that is missing, not a number, out of range or no node list. Without `lookup` reads this
// process's environment; call before threads change it.
LaunchEnvironment ReadLaunchEnvironment();
LaunchEnvironment ReadLaunchEnvironment(const EnvironmentLookup& lookup);

}  // namespace cddp

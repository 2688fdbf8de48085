// What a launcher tells a worker about its place, by environment variables:
// torchrun's RANK, WORLD_SIZE, LOCAL_WORLD_SIZE, MASTER_ADDR, MASTER_PORT,
// TORCHELASTIC_USE_AGENT_STORE and TORCHELASTIC_RESTART_COUNT.
#pragma once

#include <string>

namespace cddp {

struct LaunchEnvironment {
  int rank = 0;
  int world_size = 1;
  int local_world_size = 1;
  std::string master_address = "127.0.0.1";
  int master_port = 29500;
  // torchrun's agent serves the store: every rank is a client of it.
  bool agent_store = false;
  int restart_count = 0;
};

// Neither RANK nor WORLD_SIZE set means one worker. Throws
// StatusError(kInvalidArgument) naming the variable that is missing, not a
// number or out of range. Reads the environment; call before threads change it.
LaunchEnvironment ReadLaunchEnvironment();

}  // namespace cddp

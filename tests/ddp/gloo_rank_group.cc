// The ranks of the collective suite over Gloo's sockets on loopback.
#include "ddp/c10d_transport.h"
#include "tests/collective/rank_group.h"
#include "tests/ddp/threaded_world.h"

namespace cddp {

// Eight ranks of one process on two cores take 30 ms for one.
const uint64_t kManySteps = 100;
// Some 0.2 s to connect one.
const int kManyGroups = 16;
const int kMostRanks = 16;

void RunRanks(int world_size, const std::function<void(Transport&)>& rank_main,
              std::chrono::milliseconds timeout) {
  RunRanks(
      world_size,
      [&rank_main](World& world) {
        C10dTransport transport(world);
        rank_main(transport);
      },
      timeout);
}

}  // namespace cddp

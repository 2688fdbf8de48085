#include "tests/collective/rank_group.h"

#include <thread>

namespace cddp {

const uint64_t kManySteps = 1'000 / CDDP_CASE_DIVISOR;
const int kManyGroups = kInstrumented ? 50 : 100;
const int kMostRanks = kInstrumented ? 16 : 64;

void RunRanks(int world_size, const std::function<void(Transport&)>& rank_main,
              std::chrono::milliseconds timeout) {
  std::vector<std::thread> threads;
  for (auto& transport : MakeInProcessTransports(world_size, timeout)) {
    threads.emplace_back([&rank_main](std::unique_ptr<Transport> mine) { rank_main(*mine); },
                         std::move(transport));
  }
  for (std::thread& thread : threads) thread.join();
}

}  // namespace cddp

// Ranks as threads of the test, over real Gloo sockets on loopback.
#pragma once

#include <chrono>
#include <functional>
#include <thread>
#include <vector>

#include "ddp/world.h"
#include "tests/program/child.h"

namespace cddp {

// Runs `body` once per rank, each in a World of `size` ranks.
inline void RunRanks(int size, const std::function<void(World&)>& body,
                     std::chrono::milliseconds timeout = std::chrono::seconds(60)) {
  const TestFolder folder;
  std::vector<std::thread> ranks;
  for (int rank = 0; rank < size; ++rank) {
    ranks.emplace_back([&, rank] {
      WorldOptions options;
      options.launch.rank = rank;
      options.launch.world_size = size;
      options.timeout = timeout;
      options.meeting_file = (folder.path() / "meeting").string();
      const auto world = World::Join(options);
      body(*world);
      world->Barrier();
      world->Leave();
    });
  }
  for (std::thread& rank : ranks) rank.join();
}

}  // namespace cddp

// The transport over Gloo: what it promises beyond what c10d does.
#include "ddp/c10d_transport.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <vector>

#include "tests/ddp/threaded_world.h"

namespace cddp {
namespace {

using Message = std::vector<std::byte>;

// Of another length for each pair of ranks and round; never empty.
Message FromTo(int from, int to, int round) {
  const auto length = static_cast<size_t>(1 + (7 * from + 3 * to + 11 * round) % 60);
  return Message(length, static_cast<std::byte>(1 + 16 * from + to + 64 * (round % 2)));
}

TEST(C10dTransportTest, MessagesMayBeShorterThanTheCapacity) {
  constexpr int kRanks = 3;
  constexpr size_t kCapacity = 64;
  RunRanks(kRanks, [](World& world) {
    C10dTransport transport(world);
    for (int round = 0; round < 20; ++round) {
      std::vector<Message> out, in(kRanks, Message(kCapacity));
      for (int to = 0; to < kRanks; ++to) out.push_back(FromTo(world.rank(), to, round));
      const std::vector<std::span<const std::byte>> outgoing(out.begin(), out.end());
      const std::vector<std::span<std::byte>> incoming(in.begin(), in.end());
      const Status status = transport.Exchange(outgoing, incoming);
      ASSERT_TRUE(status.ok()) << status.message();
      for (int from = 0; from < kRanks; ++from) {
        if (from == world.rank()) continue;
        const Message expected = FromTo(from, world.rank(), round);
        const Message& got = in[static_cast<size_t>(from)];
        EXPECT_TRUE(std::equal(expected.begin(), expected.end(), got.begin()))
            << "from rank " << from << " in round " << round;
      }
    }
  });
}

}  // namespace
}  // namespace cddp

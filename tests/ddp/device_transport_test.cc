// The transport of a device, here the CPU over Gloo: all of it but NCCL itself.
#include "ddp/device_transport.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <vector>

#include "ddp/c10d_transport.h"
#include "ddp/device_collective.h"
#include "tests/collective/rank_group.h"
#include "tests/ddp/threaded_world.h"
#include "tests/expect_refusal.h"

namespace cddp {
namespace {

using Message = std::vector<std::byte>;

// Of another length for each pair of ranks and round; none from a rank to the next one.
Message FromTo(int from, int to, int round, int ranks) {
  if (to == (from + 1) % ranks && ranks > 2) return {};
  const auto length = static_cast<size_t>(1 + (7 * from + 3 * to + 11 * round) % 60);
  return Message(length, static_cast<std::byte>(1 + 16 * from + to + 64 * (round % 2)));
}

DeviceTransport OnTheCpu(World& world) { return {world.NewGroup("device"), at::kCPU}; }

TEST(DeviceTransport, MessagesMayBeShorterThanTheCapacityOrNone) {
  constexpr size_t kCapacity = 64;
  for (const int ranks : {1, 2, 3, 5}) {
    RunRanks(ranks, [&](World& world) {
      DeviceTransport transport = OnTheCpu(world);
      const auto of_sizes = static_cast<uint64_t>(ranks > 1 ? 20 * 8 * (ranks - 1) : 0);
      uint64_t sent = of_sizes, received = of_sizes;
      for (int round = 0; round < 20; ++round) {
        std::vector<Message> out, in;
        for (int r = 0; r < ranks; ++r) {
          out.push_back(r == world.rank() ? Message(kCapacity)
                                          : FromTo(world.rank(), r, round, ranks));
          const bool silent = FromTo(r, world.rank(), round, ranks).empty();
          in.push_back(Message(silent ? 0 : kCapacity));
          if (r == world.rank()) continue;
          sent += out.back().size();
          received += FromTo(r, world.rank(), round, ranks).size();
        }
        const std::vector<std::span<const std::byte>> outgoing(out.begin(), out.end());
        const std::vector<std::span<std::byte>> incoming(in.begin(), in.end());
        const Status status = transport.Exchange(outgoing, incoming);
        ASSERT_TRUE(status.ok()) << status.message();
        for (int r = 0; r < ranks; ++r) {
          if (r == world.rank()) continue;
          const Message expected = FromTo(r, world.rank(), round, ranks);
          const Message& got = in[static_cast<size_t>(r)];
          EXPECT_EQ(Message(got.begin(), got.begin() + static_cast<ptrdiff_t>(expected.size())),
                    expected)
              << "from rank " << r << " in round " << round;
        }
      }
      EXPECT_EQ(transport.traffic().sent, sent);
      EXPECT_EQ(transport.traffic().received, received);
    });
  }
}

TEST(DeviceTransport, AMessageLongerThanWasAgreedIsCorrupt) {
  RunRanks(2, [](World& world) {
    const ProcessGroupPtr group = world.NewGroup("device");
    if (world.rank() == 1) {
      at::Tensor sizes = torch::tensor({9, 0}, torch::kLong);
      at::Tensor theirs = torch::empty_like(sizes);
      std::vector<int64_t> even;
      group->alltoall_base(theirs, sizes, even, even)->wait();
      return;
    }
    DeviceTransport transport(group, at::kCPU);
    const Message out(3);
    Message in(8);
    const std::vector<std::span<const std::byte>> outgoing{{}, out};
    const std::vector<std::span<std::byte>> incoming{{}, in};
    const Status status = transport.Exchange(outgoing, incoming);
    EXPECT_EQ(status.code(), StatusCode::kCorrupt);
    EXPECT_NE(status.message().find("rank 1 sends 9 bytes where 8 are the most"), std::string::npos)
        << status.message();
  });
}

TEST(DeviceTransport, SumsOfTheDeviceAndOfTheHost) {
  for (const int ranks : {1, 2, 4}) {
    RunRanks(ranks, [&](World& world) {
      DeviceTransport transport = OnTheCpu(world);
      std::vector<float> values(1000);
      for (size_t i = 0; i < values.size(); ++i) {
        values[i] = static_cast<float>(i) * static_cast<float>(world.rank() + 1);
      }
      const auto collective = MakeDenseDeviceCollective(at::kCPU, &transport);
      OwnedBucket bucket(0, {600, 400});
      bucket.values.assign(values.begin(), values.end());
      ASSERT_TRUE(collective->AllReduceMean(bucket.At(0)).ok());
      ASSERT_TRUE(transport.AllReduceSum(values).ok());
      EXPECT_EQ(collective->EndStep(), StepOutcome::kCommitted);
      for (size_t i = 0; i < values.size(); ++i) {
        const auto expected = static_cast<float>(i) * static_cast<float>(ranks * (ranks + 1) / 2);
        ASSERT_EQ(values[i], expected);
        ASSERT_EQ(bucket.values[i], expected / static_cast<float>(ranks));
      }
      EXPECT_EQ(transport.traffic().sent,
                2 * 2 * static_cast<uint64_t>(ranks - 1) * 4000 / static_cast<uint64_t>(ranks));
    });
  }
}

TEST(DeviceTransport, WhatIsNotFiniteOnOneRankVoidsTheStepOnAll) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  for (const int ranks : {2, 4}) {
    RunRanks(ranks, [&](World& world) {
      DeviceTransport transport = OnTheCpu(world);
      const auto collective = MakeDenseDeviceCollective(at::kCPU, &transport);
      uint64_t step = 0;
      for (const float bad : {NAN, kInfinity, 1.0f, -kInfinity}) {
        OwnedBucket bucket(0, {600, 400});
        if (world.rank() == 1) bucket.values[777] = bad;
        ASSERT_TRUE(collective->AllReduceMean(bucket.At(step++)).ok());
        EXPECT_TRUE(std::isfinite(bad) ||
                    std::ranges::all_of(bucket.values, [](float v) { return std::isnan(v); }));
        EXPECT_EQ(collective->EndStep(),
                  std::isfinite(bad) ? StepOutcome::kCommitted : StepOutcome::kVoid);
      }
    });
  }
}

TEST(DeviceTransport, ALostRankEndsTheOthers) {
  RunRanks(3, [](World& world) {
    const ProcessGroupPtr group = world.NewGroup("device");
    if (world.rank() == 2) return;  // its connections close
    DeviceTransport transport(group, at::kCPU);
    std::vector<float> values(1000);
    EXPECT_EQ(transport.AllReduceSum(values).code(), StatusCode::kPeerLost);
    const Message out(3);
    Message in(8);
    const std::vector<std::span<const std::byte>> outgoing(3, out);
    const std::vector<std::span<std::byte>> incoming(3, in);
    EXPECT_EQ(transport.Exchange(outgoing, incoming).code(), StatusCode::kPeerLost);
  });
}

// A collective over it gives the same bits as over Gloo's own transport.
TEST(DeviceTransport, SplitIsTheSameOverIt) {
  RunRanks(3, [](World& world) {
    DeviceTransport device = OnTheCpu(world);
    C10dTransport host(world);
    std::vector<std::vector<OwnedBucket>> results;
    for (Transport* transport : std::initializer_list<Transport*>{&device, &host}) {
      std::unique_ptr<Collective> collective;
      ASSERT_TRUE(
          MakeSplitCollective(transport, {.ratio = 0.1, .whole_limit = 4}, 1, &collective).ok());
      for (uint64_t step = 0; step < 10; ++step) {
        results.push_back(SomeBuckets());
        ASSERT_TRUE(collective->BeginStep(step).ok());
        for (OwnedBucket& bucket : results.back()) {
          FillGradient(world.rank(), step, &bucket);
          const Status status = collective->AllReduceMean(bucket.At(step));
          ASSERT_TRUE(status.ok()) << status.message();
        }
        ASSERT_EQ(collective->EndStep(), StepOutcome::kCommitted);
      }
    }
    for (size_t step = 0; step < 10; ++step) {
      for (size_t b = 0; b < results[step].size(); ++b) {
        EXPECT_TRUE(SameBits(results[step][b].values, results[step + 10][b].values));
      }
    }
  });
}

TEST(DeviceTransport, AGpuForTwoRanksIsRefusedByAll) {
  const std::string gpus[] = {"a", std::string("b\0c", 3), "c", std::string("b\0d", 3)};
  const auto check = [](World& world, const std::string& gpu) {
    world.NewGroupOn("own_gpu", [&](const StorePtr& store, const std::string&) -> ProcessGroupPtr {
      RequireOwnGpu(world, store, gpu);
      return {};
    });
  };
  RunRanks(4, [&](World& world) {
    const auto rank = static_cast<size_t>(world.rank());
    EXPECT_NO_THROW(check(world, gpus[rank]));
    ExpectRefusal([&] { check(world, gpus[rank == 3 ? 1 : rank]); }, StatusCode::kInvalidArgument,
                  {"ranks 1 and 3 have the same", "--backend gloo"});
  });
}

}  // namespace
}  // namespace cddp

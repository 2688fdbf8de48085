// Where a worker computes, by what there is.
#include "trainer/device.h"

#include <gtest/gtest.h>

#include "tests/expect_refusal.h"

namespace cddp {
namespace {

const Devices kNone;
const Devices kNoDriver{.cuda_built = true};
const Devices kTwo{.cuda_built = true, .cuda = 2};

TEST(Device, AutoTakesAGpuWhereThereIsOne) {
  EXPECT_EQ(ResolveDevice("auto", kNone), "cpu");
  EXPECT_EQ(ResolveDevice("auto", kNoDriver), "cpu");
  EXPECT_EQ(ResolveDevice("auto", kTwo), "cuda");
}

TEST(Device, NamesStandForThemselves) {
  EXPECT_EQ(ResolveDevice("cpu", kTwo), "cpu");
  EXPECT_EQ(ResolveDevice("cuda", kTwo), "cuda");
  EXPECT_EQ(ResolveDevice("cuda:1", kTwo), "cuda:1");
  EXPECT_EQ(ResolveDevice("mps", {.mps = true}), "mps");
}

TEST(Device, WhatIsNotThereIsRefused) {
  ExpectRefusal([] { ResolveDevice("cuda", kNone); }, StatusCode::kInvalidArgument,
                {"built without CUDA"});
  ExpectRefusal([] { ResolveDevice("cuda:0", kNone); }, StatusCode::kInvalidArgument,
                {"built without CUDA"});
  ExpectRefusal([] { ResolveDevice("cuda", kNoDriver); }, StatusCode::kInvalidArgument,
                {"nvidia-smi"});
  ExpectRefusal([] { ResolveDevice("cuda:2", kTwo); }, StatusCode::kInvalidArgument,
                {"cuda:0 to cuda:1"});
  ExpectRefusal([] { ResolveDevice("cuda:1", {.cuda_built = true, .cuda = 1}); },
                StatusCode::kInvalidArgument, {"one CUDA device"});
  ExpectRefusal([] { ResolveDevice("mps", kTwo); }, StatusCode::kInvalidArgument,
                {"no Metal device"});
  for (const char* name : {"gpu", "cuda:", "cuda:x", "cuda:-1", "cuda:1x", "", "CPU"}) {
    ExpectRefusal([name] { ResolveDevice(name, kTwo); }, StatusCode::kInvalidArgument,
                  {"auto, cpu, cuda, cuda:N or mps"});
  }
}

TEST(Device, NcclNeedsAGpuForEachWorker) {
  constexpr Devices kTwoWithNccl{.cuda_built = true, .cuda = 2, .nccl = true};
  RequireBackend("gloo", "cpu", 8, kNone);
  RequireBackend("nccl", "cuda", 2, kTwoWithNccl);
  RequireBackend("nccl", "cuda:1", 1, kTwoWithNccl);
  const auto refused = [](const char* device, int workers, const Devices& devices,
                          const char* why) {
    ExpectRefusal([&] { RequireBackend("nccl", device, workers, devices); },
                  StatusCode::kInvalidArgument, {why, "--backend gloo"});
  };
  refused("cuda", 1, kTwo, "built without NCCL");
  refused("cpu", 1, kTwoWithNccl, "gradients are on cpu");
  refused("cuda", 3, kTwoWithNccl, "3 workers of this machine share 2");
  refused("cuda:0", 2, kTwoWithNccl, "2 workers of this machine share 1");
}

TEST(Device, ThereIsAlwaysTheCpu) {
  EXPECT_EQ(NamesOf(kNone), std::vector<std::string>{"cpu"});
  EXPECT_EQ(NamesOf(kTwo), (std::vector<std::string>{"cpu", "cuda:0", "cuda:1"}));
}

}  // namespace
}  // namespace cddp

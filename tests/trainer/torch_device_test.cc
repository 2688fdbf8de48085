#include "trainer/torch_device.h"

#include <gtest/gtest.h>

namespace cddp {
namespace {

TEST(TorchDevice, WorkersOfAMachineShareItsDevices) {
  const Devices two{.cuda_built = true, .cuda = 2};
  EXPECT_EQ(DeviceOf("cpu", 3, two), at::Device(at::kCPU));
  EXPECT_EQ(DeviceOf("cuda", 0, two), at::Device(at::kCUDA, 0));
  EXPECT_EQ(DeviceOf("cuda", 1, two), at::Device(at::kCUDA, 1));
  EXPECT_EQ(DeviceOf("cuda", 2, two), at::Device(at::kCUDA, 0)) << "shared";
  EXPECT_EQ(DeviceOf("cuda:1", 0, two), at::Device(at::kCUDA, 1));
}

TEST(TorchDevice, DevicesThatThereAreCanBeUsed) {
  const Devices present = PresentDevices();
  EXPECT_TRUE(present.cuda == 0 || present.cuda_built);
  const std::string name = ResolveDevice("auto", present);
  EXPECT_EQ(torch::ones({2}, DeviceOf(name, 0, present)).sum().item<float>(), 2);
}

}  // namespace
}  // namespace cddp

#include "trainer/torch_device.h"

#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include <algorithm>

#include "ddp/device_transport.h"

namespace cddp {

Devices PresentDevices() {
  return {.cuda_built = c10::impl::hasDeviceGuardImpl(at::kCUDA),
          .cuda = static_cast<int>(torch::cuda::device_count()),
          .mps = at::hasMPS(),
          .nccl = HasNccl()};
}

at::Device DeviceOf(const std::string& resolved, int local_rank, const Devices& devices) {
  if (resolved == "cuda") {
    return {at::kCUDA, static_cast<c10::DeviceIndex>(local_rank % std::max(1, devices.cuda))};
  }
  return at::Device(resolved);
}

at::Device TakeDevice(const std::string& resolved, int local_rank) {
  const at::Device device = DeviceOf(resolved, local_rank, PresentDevices());
  if (device.is_cuda()) c10::impl::VirtualGuardImpl(device.type()).setDevice(device);
  return device;
}

}  // namespace cddp

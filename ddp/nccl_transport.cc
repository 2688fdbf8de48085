#include <ATen/cuda/CUDAContext.h>
#include <fmt/format.h>
#include <torch/csrc/cuda/nccl.h>

#include <torch/csrc/distributed/c10d/ProcessGroupNCCL.hpp>

#include "cddp/status.h"
#include "ddp/device_transport.h"
#include "ddp/torch_error.h"

namespace cddp {
namespace {

// Of all GPUs, and of the parts of one that is divided. A process may see its GPU under any number.
std::string UuidOf(at::Device device) {
  const cudaUUID_t& uuid = at::cuda::getDeviceProperties(device.index())->uuid;
  return {uuid.bytes, sizeof uuid.bytes};
}

}  // namespace

bool HasNccl() { return true; }

std::unique_ptr<DeviceTransport> MakeNcclTransport(World& world, at::Device device) {
  // What the class is made of depends on the version: (major << 32) | (minor << 16) | patch.
  const uint64_t of_libtorch = torch::cuda::nccl::version();
  const uint64_t major = of_libtorch >> 32, minor = (of_libtorch >> 16) & 0xffff;
  if (major != NCCL_MAJOR || minor != NCCL_MINOR) {
    throw StatusError(
        StatusCode::kUnavailable,
        fmt::format("this program was built with the headers of NCCL {}.{}, its libtorch with "
                    "{}.{}: build it with those, or use --backend gloo",
                    NCCL_MAJOR, NCCL_MINOR, major, minor));
  }
  if (!world.interface().empty()) {
    setenv("NCCL_SOCKET_IFNAME", ("=" + world.interface()).c_str(), /*overwrite=*/0);
  }
  c10::intrusive_ptr<c10d::ProcessGroupNCCL> nccl;
  const auto group = world.NewGroupOn(
      "gradients", [&](const StorePtr& store, const std::string& name) -> ProcessGroupPtr {
        using c10d::ProcessGroupNCCL;
        // NCCL itself would only say that the ranks cannot connect.
        RequireOwnGpu(world, store, UuidOf(device));
        auto options = ProcessGroupNCCL::Options::create();
        options->timeout = world.collective_timeout();
        nccl = c10::make_intrusive<ProcessGroupNCCL>(store, world.rank(), world.size(), options);
        auto group = c10::make_intrusive<c10d::ProcessGroup>(store, world.rank(), world.size());
        group->setDefaultBackend(c10d::ProcessGroup::BackendType::NCCL);
        group->setBackend(at::kCUDA, c10d::ProcessGroup::BackendType::NCCL, nccl);
        group->setGroupName(name);
        // Not in the first step, where a failure could have any cause.
        nccl->eagerConnectSingleDevice(device);
        return group;
      });
  return std::make_unique<DeviceTransport>(group, device, [nccl] { nccl->shutdown(); });
}

}  // namespace cddp

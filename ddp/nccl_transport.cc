#include <fmt/format.h>
#include <torch/csrc/cuda/nccl.h>

#include <torch/csrc/distributed/c10d/ProcessGroupNCCL.hpp>

#include "cddp/status.h"
#include "ddp/device_transport.h"
#include "ddp/torch_error.h"

namespace cddp {

bool HasNccl() { return true; }

std::unique_ptr<DeviceTransport> MakeNcclTransport(World& world, at::Device device) {
  // What the class is made of depends on the version.
  const auto minor = [](uint64_t version) { return version / 100; };
  if (minor(torch::cuda::nccl::version()) != minor(NCCL_VERSION_CODE)) {
    throw StatusError(StatusCode::kUnavailable,
                      fmt::format("this program was built with the headers of NCCL {}, its "
                                  "libtorch has {}: build it with those, or use --backend gloo",
                                  NCCL_VERSION_CODE, torch::cuda::nccl::version()));
  }
  const auto group = world.NewGroupOn(
      "gradients", [&](const StorePtr& store, const std::string& name) -> ProcessGroupPtr {
        using c10d::ProcessGroupNCCL;
        auto options = ProcessGroupNCCL::Options::create();
        options->timeout = world.collective_timeout();
        const auto nccl =
            c10::make_intrusive<ProcessGroupNCCL>(store, world.rank(), world.size(), options);
        auto group = c10::make_intrusive<c10d::ProcessGroup>(store, world.rank(), world.size());
        group->setDefaultBackend(c10d::ProcessGroup::BackendType::NCCL);
        group->setBackend(at::kCUDA, c10d::ProcessGroup::BackendType::NCCL, nccl);
        group->setGroupName(name);
        return group;
      });
  return std::make_unique<DeviceTransport>(group, device);
}

}  // namespace cddp

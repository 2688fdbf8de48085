#include "cddp/status.h"
#include "ddp/device_transport.h"

namespace cddp {

bool HasNccl() { return false; }

std::unique_ptr<DeviceTransport> MakeNcclTransport(World&, at::Device) {
  throw StatusError(StatusCode::kUnavailable, "this program was built without NCCL");
}

}  // namespace cddp

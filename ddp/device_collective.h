// The collective for gradients that stay in a device's memory, where this build has one.
#pragma once

#include <torch/torch.h>

#include <memory>

#include "cddp/collective.h"
#include "cddp/compression.h"
#include "cddp/transport.h"

namespace cddp {

// With CUDA a gathering collective (device_compressor.h) for that device. Null for other
// devices, and in a build without CUDA: their gradients are staged in the host's memory
// (comm_hook.h). Throws StatusError: kInvalidArgument for options that it cannot do,
// kUnavailable for a device that cannot be used. `transport` must outlive it.
std::unique_ptr<Collective> MakeDeviceCollective(at::Device device,
                                                 const CompressorOptions& options,
                                                 Transport* transport);

}  // namespace cddp

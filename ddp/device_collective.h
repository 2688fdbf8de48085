// The collective for gradients that stay in a device's memory.
#pragma once

#include <torch/torch.h>

#include <memory>

#include "cddp/collective.h"
#include "cddp/compression.h"
#include "cddp/transport.h"
#include "ddp/device_transport.h"

namespace cddp {

// A gathering collective (device_compressor.h) for that device: with our kernels on CUDA, where
// this build has them, else with libtorch's operators. Throws StatusError: kInvalidArgument for
// options that it cannot do, kUnavailable for a device that cannot be used. `transport` must
// outlive it.
std::unique_ptr<Collective> MakeDeviceCollective(at::Device device,
                                                 const CompressorOptions& options,
                                                 Transport* transport);

// Of dense gradients on that device: their sum over `transport`, divided by the number of ranks.
// `transport` must outlive it. One worker needs none: its gradients stay as they are, those of a
// void step, too, and the device is waited for in EndStep only.
std::unique_ptr<Collective> MakeDenseDeviceCollective(at::Device device,
                                                      DeviceTransport* transport = nullptr);

}  // namespace cddp

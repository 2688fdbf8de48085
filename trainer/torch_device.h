// Devices (device.h) as libtorch names them.
#pragma once

#include <torch/torch.h>

#include <string>

#include "trainer/device.h"

namespace cddp {

// Of a resolved name, for this worker of its machine. With `cuda` the workers of a machine take
// its devices in turn; more workers than devices share them.
at::Device DeviceOf(const std::string& resolved, int local_rank, const Devices& devices);

// The same of those that are here, and makes it this thread's current device: libtorch would make
// a context on the first GPU for a thread that has chosen none.
at::Device TakeDevice(const std::string& resolved, int local_rank);

}  // namespace cddp

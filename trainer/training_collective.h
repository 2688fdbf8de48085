// The collective of a training, as its options say.
#pragma once

#include <torch/torch.h>

#include <memory>

#include "cddp/collective.h"
#include "ddp/device_transport.h"
#include "trainer/options.h"

namespace cddp {

// What `auto` had decided in the run that goes on; null in a new one.
struct PlanSoFar {
  const Plan* plan = nullptr;
  bool settled = false;  // else it goes on trying
};

// The collective that `options` (resolved) ask for, for gradients on `device`; on the CPU it
// selects with `threads`. On another device `auto` means gather, which makes its frames there; what
// that cannot do is done by the CPU, with a warning. Rank 0's records gradients if they ask for it.
// `transport`, or `nccl`, which takes its place where it is given and sums dense gradients on
// the device, must outlive it. Throws StatusError: kUnavailable or kCorrupt for options.plan,
// kInvalidArgument when that is of another number of workers, or when gradients are to be
// recorded that stay on a device.
std::unique_ptr<Collective> MakeTrainingCollective(const TrainOptions& options, at::Device device,
                                                   int threads, Transport* transport,
                                                   const PlanSoFar& so_far = {},
                                                   DeviceTransport* nccl = nullptr);

}  // namespace cddp

// Transport over a c10d process group whose tensors are in a device's memory: NCCL, for ranks
// that have a GPU each. Messages of the host pass through page-locked memory; gradients
// that are on the device are summed there.
//
// Sizes go first, then one exchange of all messages, which NCCL does as grouped sends and
// receives.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>

#include "cddp/transport.h"
#include "ddp/side_stream.h"
#include "ddp/socket_bytes.h"
#include "ddp/torch_seam.h"
#include "ddp/world.h"

namespace cddp {

class DeviceTransport final : public Transport {
 public:
  // `group`: takes tensors of `device`, and is used for nothing else. `leave` ends it in good
  // order.
  DeviceTransport(ProcessGroupPtr group, at::Device device, std::function<void()> leave = {});

  int rank() const override { return rank_; }
  int world_size() const override { return world_size_; }
  Status AllReduceSum(std::span<float> values) override;
  Status Exchange(std::span<const std::span<const std::byte>> outgoing,
                  std::span<const std::span<std::byte>> incoming) override;

  // The same for values on the device, which are there already: on a stream beside all others,
  // and waits for it.
  Status AllReduceSum(at::Tensor values);

  // The agreed good end. Collective.
  void Leave() {
    if (leave_) leave_();
  }

  // Computed, not counted: messages and their sizes, and of a sum what a ring sends. The
  // connections of NCCL are not ours to look at, and may not be of a network. Any thread.
  TrafficBytes traffic() const { return {.sent = sent_, .received = received_}; }

 private:
  Status Messages(std::span<const std::span<const std::byte>> outgoing,
                  std::span<const std::span<std::byte>> incoming);
  void Sum(at::Tensor values);
  // On the side stream, to its end; what it throws is a lost peer.
  Status Run(const std::string& what, const std::function<Status()>& work);

  const ProcessGroupPtr group_;
  const at::Device device_;
  const SideStream side_;
  const int rank_;
  const int world_size_;
  const std::function<void()> leave_;
  std::atomic<uint64_t> sent_ = 0;
  std::atomic<uint64_t> received_ = 0;
};

// Refuses on every rank, with StatusError(kInvalidArgument), when two ranks have the same GPU.
// `gpu`: what no other GPU is called. `store`: of these ranks, for nothing else. Collective; throws
// what the store throws, and StatusError(kPeerLost).
void RequireOwnGpu(World& world, const StorePtr& store, const std::string& gpu);

// Over a new NCCL group of all workers, each with a GPU of its own, through the network interface
// of the world where it names one. Connects. Collective. Throws StatusError: kInvalidArgument when
// workers share a GPU; kUnavailable where this build has no NCCL, or another one than its
// libtorch; kPeerLost.
std::unique_ptr<DeviceTransport> MakeNcclTransport(World& world, at::Device device);

// Whether this build has NCCL.
bool HasNccl();

}  // namespace cddp

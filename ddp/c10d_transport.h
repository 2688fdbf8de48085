// Transport over a c10d process group (Gloo), with the group's own traffic count.
#pragma once

#include <vector>

#include "cddp/transport.h"
#include "ddp/socket_bytes.h"
#include "ddp/torch_seam.h"
#include "ddp/world.h"

namespace cddp {

// Gives every rank rank 0's values of `tensors`, which have the same shapes everywhere, by way
// of the host. Collective. Throws StatusError(kPeerLost) that says `what` failed.
void BroadcastTensors(const ProcessGroupPtr& group, const std::vector<at::Tensor>& tensors,
                      const char* what);

class C10dTransport final : public Transport {
 public:
  // Makes a process group of its own, so that gradient traffic has its own order
  // of collectives and its own sockets. Collective. No other thread of the
  // process may open TCP connections meanwhile: they would be counted too.
  explicit C10dTransport(World& world);

  int rank() const override { return rank_; }
  int world_size() const override { return world_size_; }
  Status AllReduceSum(std::span<float> values) override;
  Status Exchange(std::span<const std::span<const std::byte>> outgoing,
                  std::span<const std::span<std::byte>> incoming) override;

  // The same over this group, between steps.
  void BroadcastFromRank0(const std::vector<at::Tensor>& tensors);

  // What the group's sockets carried since they were opened. Any thread.
  TrafficBytes traffic() const { return CountTraffic(sockets_); }

 private:
  ProcessGroupPtr group_;
  SocketSet sockets_;
  int rank_;
  int world_size_;
  int tag_ = 0;
};

}  // namespace cddp

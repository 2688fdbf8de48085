#include "ddp/c10d_transport.h"

#include <algorithm>
#include <iterator>
#include <torch/csrc/distributed/c10d/comm.hpp>

#include "ddp/torch_error.h"

namespace cddp {
namespace {

at::Tensor AsTensor(std::span<const std::byte> bytes) {
  // c10d takes tensors without const; what is sent is not written to.
  return torch::from_blob(const_cast<std::byte*>(bytes.data()),
                          {static_cast<int64_t>(bytes.size())}, torch::kByte);
}

}  // namespace

C10dTransport::C10dTransport(World& world) : rank_(world.rank()), world_size_(world.size()) {
  const SocketSet before = OpenTcpSockets();
  group_ = world.NewGroup("gradients");
  const SocketSet after = OpenTcpSockets();
  std::ranges::set_difference(after, before, std::inserter(sockets_, sockets_.end()));
}

Status C10dTransport::AllReduceSum(std::span<float> values) {
  if (world_size_ == 1) return Status::Ok();
  std::vector<at::Tensor> tensors{
      torch::from_blob(values.data(), {static_cast<int64_t>(values.size())}, torch::kFloat)};
  try {
    group_->allreduce(tensors)->wait();
  } catch (const std::exception& error) {
    // Gloo's ring knows an address at most: the liveness watch knows the rank.
    return Status::PeerLost(
        fmt::format("the dense allreduce of {} values failed: a worker was lost, or made no "
                    "progress for too long ({})",
                    values.size(), FirstLine(error)));
  }
  return Status::Ok();
}

Status C10dTransport::Exchange(std::span<const std::span<const std::byte>> outgoing,
                               std::span<const std::span<std::byte>> incoming) {
  struct Pending {
    int peer;
    c10::intrusive_ptr<c10d::Work> work;
    std::vector<at::Tensor> tensors;
  };
  std::vector<Pending> pending;
  pending.reserve(2 * static_cast<size_t>(world_size_));
  tag_ = (tag_ + 1) & 0x3fffffff;
  try {
    // Step i talks to the ranks i before and i after this one, so that no rank
    // is written to by all others at once.
    for (int i = 1; i < world_size_; ++i) {
      const int from = (rank_ - i + world_size_) % world_size_;
      if (incoming[static_cast<size_t>(from)].empty()) continue;
      auto& p = pending.emplace_back(from, c10::intrusive_ptr<c10d::Work>(),
                                     std::vector{AsTensor(incoming[static_cast<size_t>(from)])});
      p.work = group_->recv(p.tensors, from, tag_);
    }
    for (int i = 1; i < world_size_; ++i) {
      const int to = (rank_ + i) % world_size_;
      if (outgoing[static_cast<size_t>(to)].empty()) continue;
      auto& p = pending.emplace_back(to, c10::intrusive_ptr<c10d::Work>(),
                                     std::vector{AsTensor(outgoing[static_cast<size_t>(to)])});
      p.work = group_->send(p.tensors, to, tag_);
    }
  } catch (const std::exception& error) {
    return Status::PeerLost("exchange failed: " + FirstLine(error));
  }
  for (Pending& p : pending) {
    try {
      p.work->wait();
    } catch (const std::exception& error) {
      return Status::PeerLost(
          fmt::format("exchange with rank {} failed: {}", p.peer, FirstLine(error)));
    }
  }
  return Status::Ok();
}

void C10dTransport::BroadcastFromRank0(const std::vector<at::Tensor>& tensors) {
  if (world_size_ == 1 || tensors.empty()) return;
  BroadcastTensors(group_, tensors, "a broadcast from rank 0");
}

void BroadcastTensors(const ProcessGroupPtr& group, const std::vector<at::Tensor>& tensors,
                      const char* what) {
  constexpr size_t kBroadcastBytes = size_t{25} << 20;
  const torch::NoGradGuard no_grad;
  std::vector<at::Tensor> of_host;
  for (const at::Tensor& tensor : tensors) of_host.push_back(tensor.to(at::kCPU));
  RethrowAsPeerLost(what, [&] { c10d::broadcast_coalesced(group, of_host, kBroadcastBytes, 0); });
  for (size_t i = 0; i < tensors.size(); ++i) {
    if (!tensors[i].is_same(of_host[i])) tensors[i].copy_(of_host[i]);
  }
}

}  // namespace cddp

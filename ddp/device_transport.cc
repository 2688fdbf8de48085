#include "ddp/device_transport.h"

#include <fmt/format.h>

#include <cstring>
#include <numeric>
#include <utility>
#include <vector>

#include "ddp/torch_error.h"

namespace cddp {
namespace {

at::Tensor HostBytes(int64_t size, at::Device device) {
  return torch::empty({size},
                      torch::TensorOptions().dtype(torch::kByte).pinned_memory(device.is_cuda()));
}

}  // namespace

DeviceTransport::DeviceTransport(ProcessGroupPtr group, at::Device device)
    : group_(std::move(group)),
      device_(device),
      side_(device),
      rank_(group_->getRank()),
      world_size_(group_->getSize()) {}

Status DeviceTransport::AllReduceSum(std::span<float> values) {
  const at::Tensor of_host =
      torch::from_blob(values.data(), {static_cast<int64_t>(values.size())}, torch::kFloat);
  at::Tensor on_device;
  side_.Run(nullptr, [&] { on_device = of_host.to(device_); });
  CDDP_RETURN_IF_ERROR(AllReduceSum(on_device));
  of_host.copy_(on_device);
  return Status::Ok();
}

Status DeviceTransport::AllReduceSum(at::Tensor values) {
  if (world_size_ == 1) return Status::Ok();
  try {
    std::vector<at::Tensor> tensors{values};
    group_->allreduce(tensors)->wait();
  } catch (const std::exception& error) {
    return Status::PeerLost(
        fmt::format("the sum of {} values failed: {}", values.numel(), FirstLine(error)));
  }
  const auto ranks = static_cast<uint64_t>(world_size_);
  const uint64_t bytes = 2 * (ranks - 1) * values.nbytes() / ranks;
  sent_ += bytes;
  received_ += bytes;
  return Status::Ok();
}

Status DeviceTransport::Exchange(std::span<const std::span<const std::byte>> outgoing,
                                 std::span<const std::span<std::byte>> incoming) {
  if (world_size_ == 1) return Status::Ok();
  Status status = Status::Ok();
  try {
    side_.Run(nullptr, [&] { status = Messages(outgoing, incoming); });
  } catch (const std::exception& error) {
    return Status::PeerLost("an exchange of messages failed: " + FirstLine(error));
  }
  return status;
}

Status DeviceTransport::Messages(std::span<const std::span<const std::byte>> outgoing,
                                 std::span<const std::span<std::byte>> incoming) {
  const auto ranks = static_cast<size_t>(world_size_);
  const auto own = static_cast<size_t>(rank_);
  std::vector<int64_t> sends(ranks), receives(ranks), even;
  for (size_t r = 0; r < ranks; ++r) {
    if (r != own) sends[r] = static_cast<int64_t>(outgoing[r].size());
  }
  at::Tensor sizes_out = torch::tensor(sends, torch::kLong).to(device_);
  at::Tensor sizes_in = torch::empty_like(sizes_out);
  group_->alltoall_base(sizes_in, sizes_out, even, even)->wait();
  const at::Tensor sizes = sizes_in.to(at::kCPU);
  for (size_t r = 0; r < ranks; ++r) {
    receives[r] = sizes.data_ptr<int64_t>()[r];
    if (r == own || (receives[r] >= 0 && std::cmp_less_equal(receives[r], incoming[r].size()))) {
      continue;
    }
    return Status::Corrupt(fmt::format("rank {} sends {} bytes, at most {} were agreed", r,
                                       receives[r], incoming[r].size()));
  }

  const int64_t sent = std::accumulate(sends.begin(), sends.end(), int64_t{0});
  const int64_t received = std::accumulate(receives.begin(), receives.end(), int64_t{0});
  const at::Tensor host_out = HostBytes(sent, device_);
  uint8_t* to = host_out.data_ptr<uint8_t>();
  for (size_t r = 0; r < ranks; ++r) {
    if (sends[r] == 0) continue;
    std::memcpy(to, outgoing[r].data(), outgoing[r].size());
    to += sends[r];
  }
  at::Tensor out = host_out.to(device_, /*non_blocking=*/true);
  at::Tensor in = torch::empty({received}, out.options());
  std::vector<int64_t> in_sizes = receives, out_sizes = sends;  // Gloo takes them away
  group_->alltoall_base(in, out, in_sizes, out_sizes)->wait();
  const at::Tensor host_in = in.to(at::kCPU);
  const uint8_t* from = host_in.data_ptr<uint8_t>();
  for (size_t r = 0; r < ranks; ++r) {
    if (receives[r] == 0) continue;
    std::memcpy(incoming[r].data(), from, static_cast<size_t>(receives[r]));
    from += receives[r];
  }
  sent_ += static_cast<uint64_t>(sent);
  received_ += static_cast<uint64_t>(received);
  return Status::Ok();
}

}  // namespace cddp

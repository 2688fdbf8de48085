#include "ddp/device_transport.h"

#include <fmt/format.h>

#include <cstring>
#include <map>
#include <numeric>
#include <utility>
#include <vector>

#include "cddp/status.h"
#include "ddp/torch_error.h"

namespace cddp {
namespace {

// In page-locked memory for a GPU.
at::Tensor OnHost(int64_t size, at::ScalarType type, at::Device device) {
  return torch::empty({size}, torch::TensorOptions().dtype(type).pinned_memory(device.is_cuda()));
}

}  // namespace

void RequireOwnGpu(World& world, const StorePtr& store, const std::string& gpu) {
  const auto key = [](int rank) { return fmt::format("gpu_{}", rank); };
  store->set(key(world.rank()), std::vector<uint8_t>(gpu.begin(), gpu.end()));
  std::map<std::string, int> owners;
  std::string shared;
  for (int r = 0; r < world.size(); ++r) {
    const std::vector<uint8_t> bytes = store->get(key(r));
    const auto [owner, is_new] = owners.emplace(std::string(bytes.begin(), bytes.end()), r);
    if (!is_new && shared.empty()) shared = fmt::format("ranks {} and {}", owner->second, r);
  }
  if (shared.empty()) return;
  world.Barrier();  // rank 0's process may hold the store, which all have read then
  throw StatusError(StatusCode::kInvalidArgument,
                    fmt::format("--backend nccl: each worker needs a GPU of its own, {} have the "
                                "same; start fewer, or use --backend gloo",
                                shared));
}

DeviceTransport::DeviceTransport(ProcessGroupPtr group, at::Device device,
                                 std::function<void()> leave)
    : group_(std::move(group)),
      device_(device),
      side_(device),
      rank_(group_->getRank()),
      world_size_(group_->getSize()),
      leave_(std::move(leave)) {}

Status DeviceTransport::AllReduceSum(std::span<float> values) {
  if (world_size_ == 1) return Status::Ok();
  return Run(fmt::format("the sum of {} values", values.size()), [&] {
    const auto size = static_cast<int64_t>(values.size());
    const at::Tensor theirs = torch::from_blob(values.data(), {size}, torch::kFloat);
    const at::Tensor of_host = OnHost(size, torch::kFloat, device_).copy_(theirs);
    const at::Tensor on_device = of_host.to(device_, /*non_blocking=*/true);
    Sum(on_device);
    theirs.copy_(on_device);
    return Status::Ok();
  });
}

Status DeviceTransport::AllReduceSum(at::Tensor values) {
  if (world_size_ == 1) return Status::Ok();
  return Run(fmt::format("the sum of {} values", values.numel()), [&] {
    Sum(values);
    return Status::Ok();
  });
}

void DeviceTransport::Sum(at::Tensor values) {
  std::vector<at::Tensor> tensors{values};
  group_->allreduce(tensors)->wait();
  const auto ranks = static_cast<uint64_t>(world_size_);
  const uint64_t bytes = 2 * (ranks - 1) * values.nbytes() / ranks;
  sent_ += bytes;
  received_ += bytes;
}

Status DeviceTransport::Exchange(std::span<const std::span<const std::byte>> outgoing,
                                 std::span<const std::span<std::byte>> incoming) {
  if (world_size_ == 1) return Status::Ok();
  return Run("an exchange of messages", [&] { return Messages(outgoing, incoming); });
}

Status DeviceTransport::Run(const std::string& what, const std::function<Status()>& work) {
  Status status = Status::Ok();
  try {
    RethrowAsPeerLost(what, [&] { side_.Run(nullptr, [&] { status = work(); }); });
  } catch (const StatusError& error) {
    return error.status();
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
    if (r == own) continue;
    const bool none = receives[r] <= 0;
    if (none == incoming[r].empty() && std::cmp_less_equal(receives[r], incoming[r].size())) {
      continue;
    }
    return Status::Corrupt(fmt::format("rank {} sends {} bytes where {} are the most", r,
                                       receives[r], incoming[r].size()));
  }

  const int64_t sent = std::accumulate(sends.begin(), sends.end(), int64_t{0});
  const int64_t received = std::accumulate(receives.begin(), receives.end(), int64_t{0});
  const at::Tensor host_out = OnHost(sent, torch::kByte, device_);
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
  const uint64_t of_sizes = (ranks - 1) * sizeof(int64_t);
  sent_ += static_cast<uint64_t>(sent) + of_sizes;
  received_ += static_cast<uint64_t>(received) + of_sizes;
  return Status::Ok();
}

}  // namespace cddp

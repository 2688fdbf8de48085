// One rank's end of a simulated network.
#pragma once

#include <algorithm>
#include <cstring>
#include <span>
#include <utility>
#include <vector>

#include "cddp/transport.h"
#include "tests/collective/simulated_network.h"

namespace cddp {

class SimulatedTransport final : public Transport {
 public:
  SimulatedTransport(SimulatedNetwork* network, int rank) : network_(network), rank_(rank) {}

  int rank() const override { return rank_; }
  int world_size() const override { return network_->size(); }

  Status AllReduceSum(std::span<float> values) override {
    const auto own = std::as_bytes(values);
    std::vector<SimulatedNetwork::Bytes> messages(static_cast<size_t>(world_size()),
                                                  {own.begin(), own.end()});
    std::vector<SimulatedNetwork::Bytes> received;
    CDDP_RETURN_IF_ERROR(network_->Call(rank_, messages, &received));
    received[static_cast<size_t>(rank_)] = messages[0];
    std::vector<float> sum(values.size(), 0.0f);
    std::vector<float> addend(values.size());
    for (const SimulatedNetwork::Bytes& message : received) {
      if (message.size() != values.size_bytes()) return Status::Internal("sums of two sizes");
      std::memcpy(addend.data(), message.data(), message.size());
      for (size_t i = 0; i < sum.size(); ++i) sum[i] += addend[i];
    }
    std::ranges::copy(sum, values.begin());
    return Status::Ok();
  }

  Status Exchange(std::span<const std::span<const std::byte>> outgoing,
                  std::span<const std::span<std::byte>> incoming) override {
    // The rest of a buffer is unspecified, and all of it after an error.
    for (std::span<std::byte> buffer : incoming) std::ranges::fill(buffer, std::byte{0xa5});
    std::vector<SimulatedNetwork::Bytes> messages;
    for (std::span<const std::byte> message : outgoing) {
      messages.emplace_back(message.begin(), message.end());
    }
    std::vector<SimulatedNetwork::Bytes> received;
    CDDP_RETURN_IF_ERROR(network_->Call(rank_, std::move(messages), &received));
    for (size_t r = 0; r < received.size(); ++r) {
      if (received[r].size() > incoming[r].size()) return Status::Internal("message too long");
      std::ranges::copy(received[r], incoming[r].begin());
    }
    return Status::Ok();
  }

 private:
  SimulatedNetwork* network_;
  int rank_;
};

}  // namespace cddp

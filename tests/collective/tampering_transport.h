// A transport whose messages arrive altered.
#pragma once

#include <functional>
#include <span>
#include <vector>

#include "cddp/transport.h"

namespace cddp {

class TamperingTransport final : public Transport {
 public:
  using Tamper = std::function<void(std::vector<std::byte>* message)>;

  TamperingTransport(Transport* inner, Tamper tamper) : inner_(inner), tamper_(std::move(tamper)) {}

  int rank() const override { return inner_->rank(); }
  int world_size() const override { return inner_->world_size(); }
  Status AllReduceSum(std::span<float> values) override { return inner_->AllReduceSum(values); }

  Status Exchange(std::span<const std::span<const std::byte>> outgoing,
                  std::span<const std::span<std::byte>> incoming) override {
    std::vector<std::vector<std::byte>> altered;
    for (std::span<const std::byte> message : outgoing) {
      tamper_(&altered.emplace_back(message.begin(), message.end()));
    }
    const std::vector<std::span<const std::byte>> messages(altered.begin(), altered.end());
    return inner_->Exchange(messages, incoming);
  }

 private:
  Transport* inner_;
  Tamper tamper_;
};

}  // namespace cddp

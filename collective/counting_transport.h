// A transport that counts what a collective hands to it: payload bytes, without what the
// network adds. Bytes that really travelled are the sockets' to tell (ddp/socket_bytes.h).
#pragma once

#include <cstdint>
#include <span>

#include "cddp/transport.h"

namespace cddp {

class CountingTransport final : public Transport {
 public:
  // `inner` must outlive it.
  explicit CountingTransport(Transport* inner) : inner_(inner) {}

  int rank() const override { return inner_->rank(); }
  int world_size() const override { return inner_->world_size(); }

  Status AllReduceSum(std::span<float> values) override {
    ++reductions_;
    reduced_bytes_ += values.size_bytes();
    return inner_->AllReduceSum(values);
  }

  Status Exchange(std::span<const std::span<const std::byte>> outgoing,
                  std::span<const std::span<std::byte>> incoming) override {
    ++exchanges_;
    for (size_t r = 0; r < outgoing.size(); ++r) {
      if (static_cast<int>(r) != rank()) exchanged_bytes_ += outgoing[r].size();
    }
    return inner_->Exchange(outgoing, incoming);
  }

  uint64_t exchanges() const { return exchanges_; }
  uint64_t exchanged_bytes() const { return exchanged_bytes_; }  // sent in exchanges
  uint64_t reductions() const { return reductions_; }
  uint64_t reduced_bytes() const { return reduced_bytes_; }  // of the values, not of the network

 private:
  Transport* inner_;
  uint64_t exchanges_ = 0;
  uint64_t exchanged_bytes_ = 0;
  uint64_t reductions_ = 0;
  uint64_t reduced_bytes_ = 0;
};

}  // namespace cddp

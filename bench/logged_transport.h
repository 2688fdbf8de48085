// A transport that keeps the sizes of what goes over it, and can do the same exchanges
// again with nothing else in between: what they cost bare.
#pragma once

#include <algorithm>
#include <span>
#include <vector>

#include "cddp/transport.h"

namespace cddp {

class LoggedTransport final : public Transport {
 public:
  // `inner` must outlive it.
  explicit LoggedTransport(Transport* inner) : inner_(inner) {}

  int rank() const override { return inner_->rank(); }
  int world_size() const override { return inner_->world_size(); }

  Status AllReduceSum(std::span<float> values) override {
    if (logging_) calls_.push_back({.reduced = values.size()});
    return inner_->AllReduceSum(values);
  }

  Status Exchange(std::span<const std::span<const std::byte>> outgoing,
                  std::span<const std::span<std::byte>> incoming) override {
    if (logging_) {
      Call call;
      for (const auto& message : outgoing) call.sent.push_back(message.size());
      for (const auto& room : incoming) call.capacity.push_back(room.size());
      calls_.push_back(std::move(call));
    }
    return inner_->Exchange(outgoing, incoming);
  }

  // From here on, instead of what was logged before.
  void StartLog() {
    calls_.clear();
    logging_ = true;
  }
  void StopLog() { logging_ = false; }

  // Makes the logged calls again, with other content. Collective.
  Status Replay() {
    for (const Call& call : calls_) {
      if (call.reduced > 0) {
        values_.resize(std::max(values_.size(), call.reduced));
        CDDP_RETURN_IF_ERROR(inner_->AllReduceSum(std::span(values_).first(call.reduced)));
        continue;
      }
      const size_t ranks = call.sent.size();
      size_t room = 0;
      for (const size_t capacity : call.capacity) room += capacity;
      for (const size_t size : call.sent) sent_.resize(std::max(sent_.size(), size));
      received_.resize(std::max(received_.size(), room));
      std::vector<std::span<const std::byte>> outgoing(ranks);
      std::vector<std::span<std::byte>> incoming(ranks);
      room = 0;
      for (size_t r = 0; r < ranks; ++r) {
        outgoing[r] = std::span(sent_).first(call.sent[r]);
        incoming[r] = std::span(received_).subspan(room, call.capacity[r]);
        room += call.capacity[r];
      }
      CDDP_RETURN_IF_ERROR(inner_->Exchange(outgoing, incoming));
    }
    return Status::Ok();
  }

 private:
  struct Call {
    size_t reduced = 0;  // values of an allreduce; 0: an exchange
    std::vector<size_t> sent;
    std::vector<size_t> capacity;
  };

  Transport* inner_;
  bool logging_ = false;
  std::vector<Call> calls_;
  std::vector<std::byte> sent_;
  std::vector<std::byte> received_;
  std::vector<float> values_;
};

}  // namespace cddp

// Ranks as threads: messages are copied through a shared board under one lock.
#include <fmt/format.h>

#include <condition_variable>
#include <cstring>
#include <map>
#include <mutex>
#include <tuple>

#include "cddp/transport.h"

namespace cddp {
namespace {

// What the ranks share. A message is keyed by (from, to, call): ranks may run
// ahead of each other, but each makes its calls in the same order.
class Board {
 public:
  Board(int world_size, std::chrono::milliseconds timeout)
      : timeout_(timeout), left_(static_cast<size_t>(world_size), false) {}

  void Post(int from, int to, uint64_t call, std::span<const std::byte> message) {
    const std::lock_guard lock(mutex_);
    messages_[{from, to, call}].assign(message.begin(), message.end());
    changed_.notify_all();
  }

  Status Take(int from, int to, uint64_t call, std::vector<std::byte>* message) {
    std::unique_lock lock(mutex_);
    const std::tuple key{from, to, call};
    const bool answered = changed_.wait_for(lock, timeout_, [&] {
      return messages_.contains(key) || left_[static_cast<size_t>(from)];
    });
    const auto it = messages_.find(key);
    if (it == messages_.end()) {
      return Status::PeerLost(
          answered ? fmt::format("rank {} has left the group", from)
                   : fmt::format("rank {} did not answer within {} ms", from, timeout_.count()));
    }
    *message = std::move(it->second);
    messages_.erase(it);
    return Status::Ok();
  }

  void Leave(int rank) {
    const std::lock_guard lock(mutex_);
    left_[static_cast<size_t>(rank)] = true;
    changed_.notify_all();
  }

 private:
  const std::chrono::milliseconds timeout_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<std::tuple<int, int, uint64_t>, std::vector<std::byte>> messages_;
  std::vector<bool> left_;
};

class InProcessTransport final : public Transport {
 public:
  InProcessTransport(std::shared_ptr<Board> board, int rank, int world_size)
      : board_(std::move(board)), rank_(rank), world_size_(world_size) {}
  ~InProcessTransport() override { board_->Leave(rank_); }

  int rank() const override { return rank_; }
  int world_size() const override { return world_size_; }

  Status AllReduceSum(std::span<float> values) override {
    ++call_;
    for (int r = 0; r < world_size_; ++r) {
      if (r != rank_) board_->Post(rank_, r, call_, std::as_bytes(values));
    }
    std::vector<float> sum(values.size(), 0.0f);
    std::vector<std::byte> message;
    for (int r = 0; r < world_size_; ++r) {
      std::span<const std::byte> bytes = std::as_bytes(values);
      if (r != rank_) {
        CDDP_RETURN_IF_ERROR(board_->Take(r, rank_, call_, &message));
        bytes = message;
      }
      if (bytes.size() != values.size_bytes()) {
        return Status::InvalidArgument(fmt::format("rank {} reduces {} bytes, rank {} {} bytes",
                                                   rank_, values.size_bytes(), r, bytes.size()));
      }
      for (size_t i = 0; i < sum.size(); ++i) {
        float value;
        std::memcpy(&value, bytes.data() + i * sizeof(value), sizeof(value));
        sum[i] += value;
      }
    }
    if (!sum.empty()) std::memcpy(values.data(), sum.data(), values.size_bytes());
    return Status::Ok();
  }

  Status Exchange(std::span<const std::span<const std::byte>> outgoing,
                  std::span<const std::span<std::byte>> incoming) override {
    ++call_;
    for (int r = 0; r < world_size_; ++r) {
      if (r != rank_) board_->Post(rank_, r, call_, outgoing[static_cast<size_t>(r)]);
    }
    std::vector<std::byte> message;
    for (int r = 0; r < world_size_; ++r) {
      if (r == rank_) continue;
      CDDP_RETURN_IF_ERROR(board_->Take(r, rank_, call_, &message));
      const std::span<std::byte> buffer = incoming[static_cast<size_t>(r)];
      if (message.size() > buffer.size()) {
        return Status::InvalidArgument(
            fmt::format("rank {} sent {} bytes to rank {}, which has room for {}", r,
                        message.size(), rank_, buffer.size()));
      }
      if (!message.empty()) std::memcpy(buffer.data(), message.data(), message.size());
    }
    return Status::Ok();
  }

 private:
  std::shared_ptr<Board> board_;
  int rank_;
  int world_size_;
  uint64_t call_ = 0;
};

}  // namespace

std::vector<std::unique_ptr<Transport>> MakeInProcessTransports(int world_size,
                                                                std::chrono::milliseconds timeout) {
  auto board = std::make_shared<Board>(world_size, timeout);
  std::vector<std::unique_ptr<Transport>> transports;
  for (int r = 0; r < world_size; ++r) {
    transports.push_back(std::make_unique<InProcessTransport>(board, r, world_size));
  }
  return transports;
}

}  // namespace cddp

// Transport: what a collective needs of a network. One object per rank.
//
// Calls are collective: every rank of the group makes the same calls in the same
// order with sizes that agree. One thread at a time.
#pragma once

#include <chrono>
#include <cstddef>
#include <memory>
#include <span>
#include <vector>

#include "cddp/status.h"

namespace cddp {

class Transport {
 public:
  virtual ~Transport() = default;
  virtual int rank() const = 0;
  virtual int world_size() const = 0;

  // Replaces `values` by its sum over the ranks; the same bytes on every rank.
  // `values` has the same size everywhere.
  virtual Status AllReduceSum(std::span<float> values) = 0;

  // Sends outgoing[r] to rank r and receives what r sends into incoming[r], for
  // all r but this rank. A message must not be longer than the capacity
  // incoming[r].size() on the other side, which both sides know beforehand; it
  // may be shorter, but not empty, and then says so itself: the rest of the buffer is
  // unspecified. Between ranks with a capacity of 0 there is no message, and what is
  // outgoing must be empty. PeerLost names the rank that ended or did not answer in time.
  virtual Status Exchange(std::span<const std::span<const std::byte>> outgoing,
                          std::span<const std::span<std::byte>> incoming) = 0;
};

// Ranks as threads of one process. result[r] is for rank r's thread. A rank that
// waits longer than `timeout` gets PeerLost with the rank that it waited for;
// destroying one rank's transport makes the calls of the others fail at once.
// AllReduceSum adds in rank order.
std::vector<std::unique_ptr<Transport>> MakeInProcessTransports(
    int world_size, std::chrono::milliseconds timeout = std::chrono::seconds(30));

}  // namespace cddp

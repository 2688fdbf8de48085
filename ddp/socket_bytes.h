// Bytes that this process's own TCP sockets carried, as the kernel counted them
// (TCP_INFO): payload sent, each byte once however often it had to be sent again,
// and payload received. Packet headers are not included.
#pragma once

#include <cstdint>
#include <set>

namespace cddp {

struct TrafficBytes {
  uint64_t sent = 0;
  uint64_t received = 0;

  TrafficBytes& operator+=(const TrafficBytes& other) {
    sent += other.sent;
    received += other.received;
    return *this;
  }
  // Since then.
  TrafficBytes operator-(const TrafficBytes& before) const {
    return {.sent = sent - before.sent, .received = received - before.received};
  }
};

// A set of sockets, known by inode, so that a reused descriptor is not mistaken.
using SocketSet = std::set<uint64_t>;

// The TCP sockets that the process has open now.
SocketSet OpenTcpSockets();

// Sums over those of `sockets` that are still open.
TrafficBytes CountTraffic(const SocketSet& sockets);

}  // namespace cddp

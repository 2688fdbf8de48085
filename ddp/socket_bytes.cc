#include "ddp/socket_bytes.h"

#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <charconv>
#include <filesystem>
#include <string>

namespace cddp {
namespace {

// Calls visit(inode, info) for each connected TCP socket of the process.
template <class Visit>
void ForEachTcpSocket(Visit visit) {
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    const std::string name = entry.path().filename();
    int fd = -1;
    std::from_chars(name.data(), name.data() + name.size(), fd);
    struct stat status;
    if (fstat(fd, &status) != 0 || !S_ISSOCK(status.st_mode)) continue;
    tcp_info info{};
    socklen_t size = sizeof(info);
    // A listening socket has no peer; sockets that are not TCP have no TCP_INFO.
    sockaddr_storage peer;
    socklen_t peer_size = sizeof(peer);
    if (getpeername(fd, reinterpret_cast<sockaddr*>(&peer), &peer_size) != 0) continue;
    if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) != 0) continue;
    visit(status.st_ino, info);
  }
}

}  // namespace

SocketSet OpenTcpSockets() {
  SocketSet sockets;
  ForEachTcpSocket([&](uint64_t inode, const tcp_info&) { sockets.insert(inode); });
  return sockets;
}

TrafficBytes CountTraffic(const SocketSet& sockets) {
  TrafficBytes traffic;
  ForEachTcpSocket([&](uint64_t inode, const tcp_info& info) {
    if (!sockets.contains(inode)) return;
    traffic.sent += info.tcpi_bytes_sent - info.tcpi_bytes_retrans;
    traffic.received += info.tcpi_bytes_received;
  });
  return traffic;
}

}  // namespace cddp

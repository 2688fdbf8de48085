#include "ddp/liveness_sockets.h"

#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <system_error>

#include "cddp/status.h"

namespace cddp {

using Clock = std::chrono::steady_clock;

std::string ErrorText(int error) { return std::generic_category().message(error); }

int PollTimeout(Clock::duration wait) {
  const auto rounded = std::chrono::ceil<std::chrono::milliseconds>(wait);
  return static_cast<int>(std::max<int64_t>(0, rounded.count()));
}

void Send(const FileDescriptor& socket, const std::string& bytes) {
  [[maybe_unused]] const ssize_t sent =
      send(socket.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
}

ReadResult Read(const FileDescriptor& socket, std::string& inbox, size_t limit) {
  char buffer[4096];
  const ssize_t n = recv(socket.get(), buffer, std::min(limit, sizeof buffer), MSG_DONTWAIT);
  if (n > 0) {
    inbox.append(buffer, static_cast<size_t>(n));
    return ReadResult::kBytes;
  }
  if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)) {
    return ReadResult::kNothing;
  }
  return ReadResult::kClosed;
}

bool PollOne(const FileDescriptor& socket, short events, Clock::time_point deadline) {
  while (true) {
    pollfd entry{socket.get(), events, 0};
    const int n = poll(&entry, 1, PollTimeout(deadline - Clock::now()));
    if (n > 0) return true;
    if (n == 0 || errno != EINTR) return false;
  }
}

void SetNoDelay(const FileDescriptor& socket) {
  const int on = 1;
  setsockopt(socket.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

Addresses Resolve(const std::string& host, int port, std::string& why) {
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICSERV | AI_PASSIVE;
  addrinfo* found = nullptr;
  const int error = getaddrinfo(host.empty() ? nullptr : host.c_str(), std::to_string(port).c_str(),
                                &hints, &found);
  if (error != 0) why = gai_strerror(error);
  return {error == 0 ? found : nullptr, &freeaddrinfo};
}

int PortOf(const FileDescriptor& socket) {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  getsockname(socket.get(), reinterpret_cast<sockaddr*>(&address), &size);
  return ntohs(address.ss_family == AF_INET6 ? reinterpret_cast<sockaddr_in6&>(address).sin6_port
                                             : reinterpret_cast<sockaddr_in&>(address).sin_port);
}

FileDescriptor OpenListener(const std::string& host) {
  std::string why = "no address";
  const Addresses addresses = Resolve(host, 0, why);
  // Of the wildcard addresses the IPv6 one serves both families, so it is tried first.
  for (const int family : {AF_INET6, AF_INET}) {
    for (const addrinfo* a = addresses.get(); a != nullptr; a = a->ai_next) {
      if (a->ai_family != family) continue;
      FileDescriptor fd(socket(a->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
      const int off = 0;
      if (family == AF_INET6) setsockopt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
      if (fd.get() >= 0 && bind(fd.get(), a->ai_addr, a->ai_addrlen) == 0 &&
          listen(fd.get(), SOMAXCONN) == 0) {
        return fd;
      }
      why = ErrorText(errno);
    }
  }
  throw StatusError(
      StatusCode::kUnavailable,
      fmt::format("rank 0 could not listen on {}: {}", host.empty() ? "any interface" : host, why));
}

FileDescriptor Knock(const addrinfo& address, const std::string& hello, const std::string& welcome,
                     Clock::time_point deadline, std::string& why) {
  FileDescriptor fd(socket(address.ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  int error = 0;
  if (fd.get() < 0 || (connect(fd.get(), address.ai_addr, address.ai_addrlen) != 0 &&
                       errno != EINPROGRESS && errno != EINTR)) {
    why = ErrorText(errno);
    return FileDescriptor();
  }
  if (!PollOne(fd, POLLOUT, deadline)) {
    why = "no answer";
    return FileDescriptor();
  }
  socklen_t size = sizeof error;
  getsockopt(fd.get(), SOL_SOCKET, SO_ERROR, &error, &size);
  if (error != 0) {
    why = ErrorText(error);
    return FileDescriptor();
  }
  SetNoDelay(fd);
  Send(fd, hello);
  std::string answer;
  while (answer.size() < welcome.size()) {
    if (!PollOne(fd, POLLIN, deadline)) {
      why = "connected, but no answer";
      return FileDescriptor();
    }
    if (Read(fd, answer, welcome.size() - answer.size()) == ReadResult::kClosed) {
      why = "connected, but not let in (another run's port, or this rank is taken)";
      return FileDescriptor();
    }
  }
  if (answer != welcome) {
    why = "connected, but the answer is not that of this run's rank 0";
    return FileDescriptor();
  }
  return fd;
}

}  // namespace cddp

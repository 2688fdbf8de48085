// Known numbers of bytes over TCP on loopback.
#include "ddp/socket_bytes.h"

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <iterator>
#include <vector>

#include "ddp/file_descriptor.h"

namespace cddp {
namespace {

struct Pair {
  FileDescriptor a, b;
};

Pair Connect() {
  const FileDescriptor listener(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  auto* const generic = reinterpret_cast<sockaddr*>(&address);
  socklen_t size = sizeof(address);
  EXPECT_EQ(bind(listener.get(), generic, size), 0);
  EXPECT_EQ(listen(listener.get(), 1), 0);
  EXPECT_EQ(getsockname(listener.get(), generic, &size), 0);
  FileDescriptor a(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  EXPECT_EQ(connect(a.get(), generic, size), 0);
  return {std::move(a), FileDescriptor(accept(listener.get(), nullptr, nullptr))};
}

void Send(const FileDescriptor& from, const FileDescriptor& to, size_t bytes) {
  std::vector<char> buffer(bytes);
  ASSERT_EQ(send(from.get(), buffer.data(), bytes, 0), static_cast<ssize_t>(bytes));
  ASSERT_EQ(recv(to.get(), buffer.data(), bytes, MSG_WAITALL), static_cast<ssize_t>(bytes));
}

SocketSet OpenedSince(const SocketSet& before) {
  const SocketSet now = OpenTcpSockets();
  SocketSet opened;
  std::ranges::set_difference(now, before, std::inserter(opened, opened.end()));
  return opened;
}

TEST(SocketBytes, CountsThePayloadOfTheChosenSockets) {
  const SocketSet before = OpenTcpSockets();
  const Pair chosen = Connect();
  const SocketSet sockets = OpenedSince(before);
  EXPECT_EQ(sockets.size(), 2u);  // both ends; the listener has no peer
  const Pair other = Connect();
  Send(chosen.a, chosen.b, 30'001);
  Send(chosen.a, chosen.b, 2);
  Send(chosen.b, chosen.a, 17);
  Send(other.a, other.b, 5'000);
  const TrafficBytes traffic = CountTraffic(sockets);
  EXPECT_EQ(traffic.sent, 30'020u);
  EXPECT_EQ(traffic.received, 30'020u);
}

TEST(SocketBytes, ClosedSocketsCountNoMore) {
  const SocketSet before = OpenTcpSockets();
  SocketSet sockets;
  {
    const Pair pair = Connect();
    sockets = OpenedSince(before);
    Send(pair.a, pair.b, 1'000);
    EXPECT_EQ(CountTraffic(sockets).sent, 1'000u);
  }
  // Their descriptors are taken by others.
  const Pair pair = Connect();
  Send(pair.a, pair.b, 7);
  EXPECT_EQ(CountTraffic(sockets).sent, 0u);
  EXPECT_EQ(CountTraffic(sockets).received, 0u);
}

}  // namespace
}  // namespace cddp

// The TCP sockets of liveness: rank 0's listener, and the connection that each
// of the other ranks has with it.
//
// All sockets are non-blocking and close on exec, so nothing here waits but the
// functions that take a deadline, and Resolve() for a name server. Errors of one
// connection are not thrown: a socket that cannot be had comes back as an empty
// FileDescriptor, with a clause in `why` that says what was wrong.
//
// Thread safety: no state of their own; one socket belongs to one thread.
#pragma once

#include <netdb.h>

#include <chrono>
#include <cstddef>
#include <memory>
#include <string>

#include "ddp/file_descriptor.h"

namespace cddp {

// The system's words for an errno value.
std::string ErrorText(int error);

// `wait` as poll() takes it: milliseconds, rounded up, at least 0.
int PollTimeout(std::chrono::steady_clock::duration wait);

// Sends as much as the kernel takes at once. A failed or partial send needs no
// answer: reading from the same connection shows its end, and silence shows that
// its far end is stuck.
void Send(const FileDescriptor& socket, const std::string& bytes);

enum class ReadResult { kNothing, kBytes, kClosed };

// Appends what has arrived to `inbox`: one piece of at most min(limit, 4096)
// bytes. kClosed also when the connection failed, or `limit` is 0.
ReadResult Read(const FileDescriptor& socket, std::string& inbox, size_t limit);

// Waits for one of `events`, as of poll(), or an error; false when the deadline
// passes first.
bool PollOne(const FileDescriptor& socket, short events,
             std::chrono::steady_clock::time_point deadline);

// Sends small messages at once instead of gathering them (Nagle, RFC 896).
void SetNoDelay(const FileDescriptor& socket);

using Addresses = std::unique_ptr<addrinfo, decltype(&freeaddrinfo)>;

// The addresses of `host` (empty: of all interfaces) with `port`, as a linked
// list; empty, and why, when there are none.
Addresses Resolve(const std::string& host, int port, std::string& why);

// The port that a socket is bound to.
int PortOf(const FileDescriptor& socket);

// Rank 0's listener, on a free port of `host` (empty: of all interfaces).
// Throws StatusError(kUnavailable) when no address of it can be listened on.
FileDescriptor OpenListener(const std::string& host);

// One attempt of another rank to be let in at `address`: connects, sends `hello`
// and waits for `welcome`. An empty descriptor, and why, if it fails.
FileDescriptor Knock(const addrinfo& address, const std::string& hello, const std::string& welcome,
                     std::chrono::steady_clock::time_point deadline, std::string& why);

}  // namespace cddp

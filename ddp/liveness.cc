#include "ddp/liveness.h"

#include <fmt/format.h>
#include <netdb.h>

#include <algorithm>
#include <thread>
#include <utility>

#include "cddp/status.h"
#include "ddp/file_descriptor.h"
#include "ddp/liveness_messages.h"
#include "ddp/liveness_sockets.h"
#include "ddp/liveness_watch.h"

namespace cddp {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr milliseconds kRetryPause{50};

void CheckOptions(const LivenessOptions& o, bool is_first) {
  if (o.world_size < 1 || o.rank < 0 || o.rank >= o.world_size || (o.rank == 0) != is_first ||
      o.timeout < milliseconds(20) || o.join_timeout < milliseconds(0)) {
    throw StatusError(StatusCode::kInvalidArgument,
                      fmt::format("liveness: rank {} of {} ({}), timeout {} ms, join timeout {} ms",
                                  o.rank, o.world_size, is_first ? "listening" : "connecting",
                                  o.timeout.count(), o.join_timeout.count()));
  }
}

}  // namespace

Liveness::Liveness(std::unique_ptr<Watch> watch) : watch_(std::move(watch)) {}
Liveness::~Liveness() = default;

std::unique_ptr<Liveness> Liveness::Listen(LivenessOptions options, uint64_t token,
                                           const std::string& host) {
  CheckOptions(options, true);
  FileDescriptor listener = OpenListener(host);
  return std::unique_ptr<Liveness>(new Liveness(
      std::make_unique<Watch>(std::move(options), token, std::move(listener), FileDescriptor())));
}

std::unique_ptr<Liveness> Liveness::Connect(LivenessOptions options, const std::string& host,
                                            int port, uint64_t token) {
  CheckOptions(options, false);
  const std::string hello = Hello(options.rank, options.world_size, token);
  const std::string welcome = Hello(0, options.world_size, token);
  const Clock::time_point deadline = Clock::now() + options.join_timeout;
  std::string why = "no address";
  do {
    const Addresses addresses = Resolve(host, port, why);
    for (const addrinfo* a = addresses.get(); a != nullptr; a = a->ai_next) {
      FileDescriptor fd =
          Knock(*a, hello, welcome, std::min(deadline, Clock::now() + kHandshakeTime), why);
      if (fd.get() < 0) continue;
      return std::unique_ptr<Liveness>(new Liveness(
          std::make_unique<Watch>(std::move(options), token, FileDescriptor(), std::move(fd))));
    }
    std::this_thread::sleep_for(kRetryPause);
  } while (Clock::now() < deadline);
  throw StatusError(
      StatusCode::kUnavailable,
      fmt::format("rank {} could not join rank 0 at {}:{} within {:.1f} s: {}", options.rank, host,
                  port, std::chrono::duration<double>(options.join_timeout).count(), why));
}

int Liveness::port() const { return watch_->port(); }
void Liveness::WaitForAll() { watch_->WaitForAll(); }
void Liveness::Leave() { watch_->Leave(); }
std::optional<Loss> Liveness::lost() const { return watch_->lost(); }
std::optional<Loss> Liveness::WaitForLoss(milliseconds patience) const {
  return watch_->WaitForLoss(patience);
}

}  // namespace cddp

#include "ddp/liveness.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <condition_variable>
#include <cstring>
#include <map>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "cddp/status.h"

namespace cddp {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr size_t kMaxStrangers = 64;
constexpr milliseconds kHandshakeTime{5000};
constexpr milliseconds kRetryPause{50};
constexpr milliseconds kSettleTime{250};
constexpr milliseconds kLingerTime{200};

// A frame is its kind, the length of its payload, and the payload.
enum Frame : char {
  kHeartbeat = 'H',
  kBye = 'B',   // the sender leaves for good reason
  kQuit = 'Q',  // the sender gives up on an error, maybe caused by another rank's end
  kLost = 'L',  // payload: the rank in 4 bytes, the reason
};
constexpr size_t kFrameHead = 2;
constexpr size_t kMaxReason = 200;

constexpr char kGaveUp[] = "it gave up on an error";

class Fd {
 public:
  Fd() = default;
  explicit Fd(int fd) : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&& other) noexcept {
    std::swap(fd_, other.fd_);
    other.Close();
    return *this;
  }
  ~Fd() { Close(); }
  void Close() {
    if (fd_ >= 0) close(std::exchange(fd_, -1));
  }
  int get() const { return fd_; }

 private:
  int fd_ = -1;
};

struct Link {
  Fd fd;
  std::string inbox;
  Clock::time_point heard;
};

struct Stranger {
  Fd fd;
  std::string inbox;
  Clock::time_point since;
};

void AppendNumber(std::string& out, uint64_t value, int bytes) {
  for (int i = 0; i < bytes; ++i) out.push_back(static_cast<char>(value >> (8 * i)));
}

uint32_t ReadNumber(const std::string& in, size_t at) {
  uint32_t value = 0;
  for (int i = 0; i < 4; ++i) value |= uint32_t{static_cast<uint8_t>(in[at + i])} << (8 * i);
  return value;
}

// Both sides open with this, each with its own rank, which comes last.
std::string Hello(int rank, int world_size, uint64_t token) {
  std::string hello = "cddplive";
  AppendNumber(hello, token, 8);
  AppendNumber(hello, static_cast<uint64_t>(world_size), 4);
  AppendNumber(hello, static_cast<uint64_t>(rank), 4);
  return hello;
}
constexpr size_t kHelloSize = 24;
constexpr size_t kHelloRankAt = 20;

std::string MakeFrame(Frame kind, const std::string& payload = "") {
  return std::string{static_cast<char>(kind), static_cast<char>(payload.size())} + payload;
}

std::string ErrorText(int error) { return std::generic_category().message(error); }

double Seconds(Clock::duration d) { return std::chrono::duration<double>(d).count(); }

int PollTimeout(Clock::duration wait) {
  return static_cast<int>(std::max<int64_t>(0, std::chrono::ceil<milliseconds>(wait).count()));
}

// A failed or partial send needs no answer here: reading from the same
// connection shows its end, and silence shows that its far end is stuck.
void Send(const Fd& fd, const std::string& bytes) {
  [[maybe_unused]] const ssize_t sent =
      send(fd.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
}

enum class ReadResult { kNothing, kBytes, kClosed };

ReadResult Read(const Fd& fd, std::string& inbox, size_t limit) {
  char buffer[4096];
  const ssize_t n = recv(fd.get(), buffer, std::min(limit, sizeof buffer), MSG_DONTWAIT);
  if (n > 0) {
    inbox.append(buffer, static_cast<size_t>(n));
    return ReadResult::kBytes;
  }
  if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)) {
    return ReadResult::kNothing;
  }
  return ReadResult::kClosed;
}

bool PollOne(const Fd& fd, short events, Clock::time_point deadline) {
  while (true) {
    pollfd entry{fd.get(), events, 0};
    const int n = poll(&entry, 1, PollTimeout(deadline - Clock::now()));
    if (n > 0) return true;
    if (n == 0 || errno != EINTR) return false;
  }
}

void SetNoDelay(const Fd& fd) {
  const int on = 1;
  setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

using Addresses = std::unique_ptr<addrinfo, decltype(&freeaddrinfo)>;

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

int PortOf(const Fd& fd) {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  getsockname(fd.get(), reinterpret_cast<sockaddr*>(&address), &size);
  return ntohs(address.ss_family == AF_INET6 ? reinterpret_cast<sockaddr_in6&>(address).sin6_port
                                             : reinterpret_cast<sockaddr_in&>(address).sin_port);
}

Fd OpenListener(const std::string& host) {
  std::string why = "no address";
  const Addresses addresses = Resolve(host, 0, why);
  // Of the wildcard addresses the IPv6 one serves both families, so it is tried first.
  for (const int family : {AF_INET6, AF_INET}) {
    for (const addrinfo* a = addresses.get(); a != nullptr; a = a->ai_next) {
      if (a->ai_family != family) continue;
      Fd fd(socket(a->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
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

// One attempt to be let in. A closed Fd, and why, if it fails.
Fd Knock(const addrinfo& address, const std::string& hello, const std::string& welcome,
         Clock::time_point deadline, std::string& why) {
  Fd fd(socket(address.ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  int error = 0;
  if (fd.get() < 0 || (connect(fd.get(), address.ai_addr, address.ai_addrlen) != 0 &&
                       errno != EINPROGRESS && errno != EINTR)) {
    why = ErrorText(errno);
    return {};
  }
  if (!PollOne(fd, POLLOUT, deadline)) {
    why = "no answer";
    return {};
  }
  socklen_t size = sizeof error;
  getsockopt(fd.get(), SOL_SOCKET, SO_ERROR, &error, &size);
  if (error != 0) {
    why = ErrorText(error);
    return {};
  }
  SetNoDelay(fd);
  Send(fd, hello);
  std::string answer;
  while (answer.size() < kHelloSize) {
    if (!PollOne(fd, POLLIN, deadline)) {
      why = "connected, but no answer";
      return {};
    }
    if (Read(fd, answer, kHelloSize - answer.size()) == ReadResult::kClosed) {
      why = "connected, but not let in (another run's port, or this rank is taken)";
      return {};
    }
  }
  if (answer != welcome) {
    why = "connected, but the answer is not that of this run's rank 0";
    return {};
  }
  return fd;
}

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

// The sockets belong to the thread alone; the members below `mutex_` are all
// that it shares with the callers.
class Liveness::Watch {
 public:
  Watch(LivenessOptions options, uint64_t token, Fd listener, Fd to_first)
      : options_(std::move(options)),
        token_(token),
        beat_(std::min(options_.timeout / 4, milliseconds(1000))),
        port_(listener.get() >= 0 ? PortOf(listener) : 0),
        listener_(std::move(listener)),
        wake_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
        joined_(static_cast<size_t>(options_.world_size), options_.rank != 0) {
    if (wake_.get() < 0) {
      throw StatusError(StatusCode::kUnavailable, "liveness: eventfd: " + ErrorText(errno));
    }
    joined_[0] = true;
    if (to_first.get() >= 0) links_[0] = {std::move(to_first), "", {}};
    // The program's signals are for its own threads.
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    thread_ = std::thread([this] { Run(); });
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
  }

  ~Watch() {
    {
      const std::lock_guard lock(mutex_);
      stop_ = true;
    }
    Wake();
    thread_.join();
  }

  int port() const { return port_; }

  void WaitForAll() {
    std::unique_lock lock(mutex_);
    const auto all_in = [&] { return std::ranges::find(joined_, false) == joined_.end(); };
    changed_.wait_for(lock, options_.join_timeout, [&] { return all_in() || loss_ || over_; });
    if (loss_) {
      throw StatusError(StatusCode::kPeerLost,
                        fmt::format("rank {} was lost: {}", loss_->rank, loss_->reason));
    }
    if (all_in() || over_) return;
    std::string missing;
    for (size_t rank = 0; rank < joined_.size(); ++rank) {
      if (joined_[rank]) continue;
      if (missing.empty()) absent_ = static_cast<int>(rank);
      missing += fmt::format("{}{}", missing.empty() ? "" : ", ", rank);
    }
    Wake();
    changed_.wait(lock, [&] { return over_; });
    throw StatusError(StatusCode::kPeerLost,
                      fmt::format("these ranks did not join within {:.1f} s: {}",
                                  Seconds(options_.join_timeout), missing));
  }

  void Leave() {
    std::unique_lock lock(mutex_);
    leave_ = true;
    Wake();
    changed_.wait(lock, [&] { return left_ || loss_ || over_; });
  }

  std::optional<Loss> lost() const { return WaitForLoss(milliseconds(0)); }

  std::optional<Loss> WaitForLoss(milliseconds patience) const {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, patience, [&] { return loss_ || over_; });
    return loss_;
  }

 private:
  void Wake() {
    const uint64_t one = 1;
    [[maybe_unused]] const ssize_t n = write(wake_.get(), &one, sizeof one);
  }

  void Run() {
    Clock::time_point now = Clock::now();
    Clock::time_point next_beat = now;
    for (auto& [rank, link] : links_) link.heard = now;
    while (!done_) {
      Clock::time_point until = next_beat;
      if (suspicion_) until = std::min(until, *suspicion_);
      const Clock::duration wait = std::max(until - now, Clock::duration::zero());
      WaitForEvents(wait);
      const Clock::time_point before = std::exchange(now, Clock::now());
      // Time beyond what was asked for is time for which this process was
      // stopped; nobody else was silent then. Taking `now` once a round keeps a
      // stop anywhere in the round out of the judgement below.
      const Clock::duration overslept = now - before - wait;
      if (overslept > Clock::duration::zero()) {
        for (auto& [rank, link] : links_) link.heard += overslept;
      }
      ReadLinks(now);
      if (!done_) AdmitStrangers(now);
      if (!done_) ObeyCallers(now);
      if (!done_) Judge(now);
      if (!done_ && now >= next_beat) {
        Broadcast(MakeFrame(kHeartbeat));
        next_beat = now + beat_;
      }
    }
    links_.clear();
    strangers_.clear();
    listener_.Close();
    const std::lock_guard lock(mutex_);
    over_ = true;
    changed_.notify_all();
  }

  void WaitForEvents(Clock::duration wait) {
    std::vector<pollfd> entries{{wake_.get(), POLLIN, 0}};
    if (!accept_pause_) entries.push_back({listener_.get(), POLLIN, 0});
    for (const auto& [rank, link] : links_) entries.push_back({link.fd.get(), POLLIN, 0});
    for (const Stranger& s : strangers_) entries.push_back({s.fd.get(), POLLIN, 0});
    poll(entries.data(), entries.size(), PollTimeout(wait));
    uint64_t drained = 0;
    [[maybe_unused]] const ssize_t n = read(wake_.get(), &drained, sizeof drained);
  }

  void Broadcast(const std::string& frame) {
    for (const auto& [rank, link] : links_) Send(link.fd, frame);
  }

  void ReadLinks(Clock::time_point now) {
    for (auto it = links_.begin(); it != links_.end() && !done_;) {
      const int rank = it->first;
      Link& link = it->second;
      const ReadResult result = Read(link.fd, link.inbox, SIZE_MAX);
      if (result == ReadResult::kBytes) link.heard = now;
      bool open = TakeFrames(rank, link, now);
      if (open && !done_ && result == ReadResult::kClosed) {
        Declare({rank, "its connection closed"});
      }
      it = open ? std::next(it) : links_.erase(it);
    }
  }

  // Returns false when the far end has said that it goes.
  bool TakeFrames(int rank, Link& link, Clock::time_point now) {
    std::string& inbox = link.inbox;
    while (!done_ && inbox.size() >= kFrameHead) {
      const size_t size = kFrameHead + static_cast<uint8_t>(inbox[1]);
      if (inbox.size() < size) break;
      const std::string frame = inbox.substr(0, size);
      inbox.erase(0, size);
      if (frame[0] == kBye) return false;
      if (frame[0] == kQuit) {
        Suspect({rank, kGaveUp}, now);
        return false;
      }
      if (frame[0] == kLost && size >= kFrameHead + 4) {
        std::string reason = frame.substr(kFrameHead + 4);
        std::ranges::replace_if(
            reason, [](char c) { return c < ' ' || c > '~'; }, '?');
        const auto lost = static_cast<int>(ReadNumber(frame, kFrameHead));
        if (lost >= 0 && lost < options_.world_size) Declare({lost, std::move(reason)});
      } else if (frame[0] != kHeartbeat) {
        Declare({rank, "it sent bytes that no rank sends"});
      }
    }
    return true;
  }

  void AdmitStrangers(Clock::time_point now) {
    accept_pause_ = false;
    std::erase_if(strangers_, [&](Stranger& s) {
      return now - s.since > kHandshakeTime || !KeepWaiting(s, now);
    });
    // The bound leaves time for the links while connections pour in.
    for (size_t i = 0; i < kMaxStrangers && listener_.get() >= 0; ++i) {
      Stranger s{Fd(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK)), "",
                 now};
      if (s.fd.get() < 0) {
        // Out of descriptors, say: the listener would stay readable and keep us spinning.
        accept_pause_ = errno != EAGAIN && errno != EINTR && errno != ECONNABORTED;
        break;
      }
      if (!KeepWaiting(s, now)) continue;
      if (strangers_.size() == kMaxStrangers) strangers_.erase(strangers_.begin());
      strangers_.push_back(std::move(s));
    }
    if (listener_.get() >= 0 && std::ranges::find(joined_, false) == joined_.end()) {
      listener_.Close();
      strangers_.clear();
    }
  }

  // Makes a link of a stranger that shows the token; false when done with it.
  bool KeepWaiting(Stranger& s, Clock::time_point now) {
    const ReadResult result = Read(s.fd, s.inbox, kHelloSize - s.inbox.size());
    if (result == ReadResult::kClosed) return false;
    if (s.inbox.size() < kHelloSize) return true;
    const auto rank = static_cast<int>(ReadNumber(s.inbox, kHelloRankAt));
    if (rank <= 0 || rank >= options_.world_size || joined_[static_cast<size_t>(rank)] ||
        s.inbox != Hello(rank, options_.world_size, token_)) {
      return false;
    }
    SetNoDelay(s.fd);
    Send(s.fd, Hello(0, options_.world_size, token_));
    links_[rank] = {std::move(s.fd), "", now};
    const std::lock_guard lock(mutex_);
    joined_[static_cast<size_t>(rank)] = true;
    changed_.notify_all();
    return false;
  }

  void ObeyCallers(Clock::time_point now) {
    std::unique_lock lock(mutex_);
    if (leave_) {
      lock.unlock();
      EndQuietly();
    } else if (absent_ >= 0) {
      lock.unlock();
      silent_ = true;
      Declare({absent_,
               fmt::format("it did not join within {:.1f} s", Seconds(options_.join_timeout))});
    } else if (stop_) {
      lock.unlock();
      silent_ = true;
      if (options_.rank == 0 && !links_.empty()) {
        Suspect({0, kGaveUp}, now);
      } else {
        Broadcast(MakeFrame(kQuit));
        Linger(-1);
        done_ = true;
      }
    }
  }

  // A rank that gives up most often does so because another one is gone. That
  // one's connection says so on its own, perhaps a moment later.
  void Suspect(Loss loss, Clock::time_point now) {
    if (suspicion_) return;
    suspect_ = std::move(loss);
    suspicion_ = now + kSettleTime;
  }

  void Judge(Clock::time_point now) {
    for (const auto& [rank, link] : links_) {
      const Clock::duration silence = now - link.heard;
      if (silence <= options_.timeout) continue;
      Declare({rank, fmt::format("silent for {:.1f} s", Seconds(silence))});
      return;
    }
    if (suspicion_ && now >= *suspicion_) Declare(suspect_);
  }

  // The others come first: what on_lost does may end the process.
  void Declare(const Loss& loss) {
    done_ = true;
    std::string payload;
    AppendNumber(payload, static_cast<uint64_t>(loss.rank), 4);
    payload += loss.reason.substr(0, kMaxReason);
    Broadcast(MakeFrame(kLost, payload));
    Linger(loss.rank);
    {
      const std::lock_guard lock(mutex_);
      loss_ = loss;
      silent_ = silent_ || stop_;
      changed_.notify_all();
    }
    if (!silent_ && options_.on_lost) options_.on_lost(loss);
  }

  void EndQuietly() {
    done_ = true;
    Broadcast(MakeFrame(kBye));
    {
      const std::lock_guard lock(mutex_);
      left_ = true;
      changed_.notify_all();
    }
    Linger(-1);
  }

  // Closing a socket with unread bytes resets the connection, which can take the
  // last message with it; so read until the far ends have closed theirs, as they
  // do on that message.
  void Linger(int except) {
    const Clock::time_point deadline = Clock::now() + kLingerTime;
    for (const auto& [rank, link] : links_) shutdown(link.fd.get(), SHUT_WR);
    for (const auto& [rank, link] : links_) {
      std::string ignored;
      while (rank != except && PollOne(link.fd, POLLIN, deadline) &&
             Read(link.fd, ignored, SIZE_MAX) != ReadResult::kClosed) {
        ignored.clear();
      }
    }
  }

  const LivenessOptions options_;
  const uint64_t token_;
  const milliseconds beat_;
  const int port_;

  Fd listener_;
  Fd wake_;
  std::map<int, Link> links_;  // by rank; on ranks above 0 there is only the one to rank 0
  std::vector<Stranger> strangers_;
  bool accept_pause_ = false;
  bool done_ = false;
  bool silent_ = false;  // on_lost is not to be called
  Loss suspect_;
  std::optional<Clock::time_point> suspicion_;  // when suspect_ is taken to be the one

  mutable std::mutex mutex_;
  mutable std::condition_variable changed_;
  std::vector<bool> joined_;  // written by the thread under the mutex
  int absent_ = -1;           // a rank that WaitForAll gave up on
  bool stop_ = false;
  bool leave_ = false;
  bool left_ = false;
  bool over_ = false;  // the thread has ended, or is about to
  std::optional<Loss> loss_;

  std::thread thread_;
};

Liveness::Liveness(std::unique_ptr<Watch> watch) : watch_(std::move(watch)) {}
Liveness::~Liveness() = default;

std::unique_ptr<Liveness> Liveness::Listen(LivenessOptions options, uint64_t token,
                                           const std::string& host) {
  CheckOptions(options, true);
  Fd listener = OpenListener(host);
  return std::unique_ptr<Liveness>(
      new Liveness(std::make_unique<Watch>(std::move(options), token, std::move(listener), Fd())));
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
      Fd fd = Knock(*a, hello, welcome, std::min(deadline, Clock::now() + kHandshakeTime), why);
      if (fd.get() < 0) continue;
      return std::unique_ptr<Liveness>(
          new Liveness(std::make_unique<Watch>(std::move(options), token, Fd(), std::move(fd))));
    }
    std::this_thread::sleep_for(kRetryPause);
  } while (Clock::now() < deadline);
  throw StatusError(StatusCode::kUnavailable,
                    fmt::format("rank {} could not join rank 0 at {}:{} within {:.1f} s: {}",
                                options.rank, host, port, Seconds(options.join_timeout), why));
}

int Liveness::port() const { return watch_->port(); }
void Liveness::WaitForAll() { watch_->WaitForAll(); }
void Liveness::Leave() { watch_->Leave(); }
std::optional<Loss> Liveness::lost() const { return watch_->lost(); }
std::optional<Loss> Liveness::WaitForLoss(milliseconds patience) const {
  return watch_->WaitForLoss(patience);
}

}  // namespace cddp

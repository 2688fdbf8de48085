#include "ddp/liveness_watch.h"

#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>
#include <utility>

#include "cddp/status.h"
#include "ddp/liveness_messages.h"
#include "ddp/liveness_sockets.h"

namespace cddp {
namespace {

using std::chrono::milliseconds;

constexpr size_t kMaxStrangers = 64;
constexpr milliseconds kSettleTime{250};
constexpr milliseconds kLingerTime{200};

constexpr char kGaveUp[] = "it gave up on an error";

double Seconds(std::chrono::steady_clock::duration d) {
  return std::chrono::duration<double>(d).count();
}

}  // namespace

Liveness::Watch::Watch(LivenessOptions options, uint64_t token, FileDescriptor listener,
                       FileDescriptor to_first)
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
  std::string failure;
  try {
    thread_ = std::thread([this] { Run(); });
  } catch (const std::system_error& error) {
    failure = error.what();
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (!failure.empty()) {
    throw StatusError(StatusCode::kUnavailable, "liveness: cannot start a thread: " + failure);
  }
}

Liveness::Watch::~Watch() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  Wake();
  thread_.join();
}

void Liveness::Watch::WaitForAll() {
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

void Liveness::Watch::Leave() {
  std::unique_lock lock(mutex_);
  leave_ = true;
  Wake();
  changed_.wait(lock, [&] { return left_ || loss_ || over_; });
}

std::optional<Loss> Liveness::Watch::WaitForLoss(milliseconds patience) const {
  std::unique_lock lock(mutex_);
  changed_.wait_for(lock, patience, [&] { return loss_ || over_; });
  return loss_;
}

void Liveness::Watch::Wake() {
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t n = write(wake_.get(), &one, sizeof one);
}

void Liveness::Watch::Run() {
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
      Broadcast(EncodeMessage(LivenessMessageKind::kHeartbeat));
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

void Liveness::Watch::WaitForEvents(Clock::duration wait) {
  std::vector<pollfd> entries{{wake_.get(), POLLIN, 0}};
  if (!accept_pause_) entries.push_back({listener_.get(), POLLIN, 0});
  for (const auto& [rank, link] : links_) entries.push_back({link.socket.get(), POLLIN, 0});
  for (const Stranger& s : strangers_) entries.push_back({s.socket.get(), POLLIN, 0});
  poll(entries.data(), entries.size(), PollTimeout(wait));
  uint64_t drained = 0;
  [[maybe_unused]] const ssize_t n = read(wake_.get(), &drained, sizeof drained);
}

void Liveness::Watch::Broadcast(const std::string& message) {
  for (const auto& [rank, link] : links_) Send(link.socket, message);
}

void Liveness::Watch::ReadLinks(Clock::time_point now) {
  for (auto it = links_.begin(); it != links_.end() && !done_;) {
    const int rank = it->first;
    Link& link = it->second;
    const ReadResult result = Read(link.socket, link.inbox, SIZE_MAX);
    if (result == ReadResult::kBytes) link.heard = now;
    bool open = ObeyMessages(rank, link, now);
    if (open && !done_ && result == ReadResult::kClosed) {
      Declare({rank, "its connection closed"});
    }
    it = open ? std::next(it) : links_.erase(it);
  }
}

bool Liveness::Watch::ObeyMessages(int rank, Link& link, Clock::time_point now) {
  while (!done_) {
    const std::optional<LivenessMessage> message = TakeMessage(link.inbox);
    if (!message) break;
    if (message->kind == LivenessMessageKind::kBye) return false;
    if (message->kind == LivenessMessageKind::kQuit) {
      Suspect({rank, kGaveUp}, now);
      return false;
    }
    if (const std::optional<Loss> loss = ReadLoss(*message)) {
      if (loss->rank >= 0 && loss->rank < options_.world_size) Declare(*loss);
    } else if (message->kind != LivenessMessageKind::kHeartbeat) {
      Declare({rank, "it sent bytes that no rank sends"});
    }
  }
  return true;
}

void Liveness::Watch::AdmitStrangers(Clock::time_point now) {
  accept_pause_ = false;
  std::erase_if(strangers_, [&](Stranger& s) {
    return now - s.since > kHandshakeTime || !KeepWaiting(s, now);
  });
  // The bound leaves time for the links while connections pour in.
  for (size_t i = 0; i < kMaxStrangers && listener_.get() >= 0; ++i) {
    Stranger s{
        FileDescriptor(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK)),
        "", now};
    if (s.socket.get() < 0) {
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

bool Liveness::Watch::KeepWaiting(Stranger& s, Clock::time_point now) {
  const ReadResult result = Read(s.socket, s.inbox, kHelloSize - s.inbox.size());
  if (result == ReadResult::kClosed) return false;
  if (s.inbox.size() < kHelloSize) return true;
  const int rank = RankInHello(s.inbox);
  if (rank <= 0 || rank >= options_.world_size || joined_[static_cast<size_t>(rank)] ||
      s.inbox != Hello(rank, options_.world_size, token_)) {
    return false;
  }
  // Whoever waited too long for our answer has closed, and knocks anew.
  if (Read(s.socket, s.inbox, 1) != ReadResult::kNothing) return false;
  SetNoDelay(s.socket);
  Send(s.socket, Hello(0, options_.world_size, token_));
  links_[rank] = {std::move(s.socket), "", now};
  const std::lock_guard lock(mutex_);
  joined_[static_cast<size_t>(rank)] = true;
  changed_.notify_all();
  return false;
}

void Liveness::Watch::ObeyCallers(Clock::time_point now) {
  std::unique_lock lock(mutex_);
  if (leave_) {
    lock.unlock();
    EndQuietly();
  } else if (absent_ >= 0) {
    lock.unlock();
    silent_ = true;
    Declare(
        {absent_, fmt::format("it did not join within {:.1f} s", Seconds(options_.join_timeout))});
  } else if (stop_) {
    lock.unlock();
    silent_ = true;
    if (options_.rank == 0 && !links_.empty()) {
      Suspect({0, kGaveUp}, now);
    } else {
      Broadcast(EncodeMessage(LivenessMessageKind::kQuit));
      Linger(-1);
      done_ = true;
    }
  }
}

// A rank that gives up most often does so because another one is gone. That
// one's connection says so on its own, perhaps a moment later.
void Liveness::Watch::Suspect(Loss loss, Clock::time_point now) {
  if (suspicion_) return;
  suspect_ = std::move(loss);
  suspicion_ = now + kSettleTime;
}

void Liveness::Watch::Judge(Clock::time_point now) {
  for (const auto& [rank, link] : links_) {
    const Clock::duration silence = now - link.heard;
    if (silence <= options_.timeout) continue;
    Declare({rank, fmt::format("silent for {:.1f} s", Seconds(silence))});
    return;
  }
  if (suspicion_ && now >= *suspicion_) Declare(suspect_);
}

// The others come first: what on_lost does may end the process.
void Liveness::Watch::Declare(const Loss& loss) {
  done_ = true;
  Broadcast(EncodeLoss(loss));
  Linger(loss.rank);
  {
    const std::lock_guard lock(mutex_);
    loss_ = loss;
    silent_ = silent_ || stop_;
    changed_.notify_all();
  }
  if (!silent_ && options_.on_lost) options_.on_lost(loss);
}

void Liveness::Watch::EndQuietly() {
  done_ = true;
  Broadcast(EncodeMessage(LivenessMessageKind::kBye));
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
void Liveness::Watch::Linger(int except) {
  const Clock::time_point deadline = Clock::now() + kLingerTime;
  for (const auto& [rank, link] : links_) shutdown(link.socket.get(), SHUT_WR);
  for (const auto& [rank, link] : links_) {
    std::string ignored;
    while (rank != except && PollOne(link.socket, POLLIN, deadline) &&
           Read(link.socket, ignored, SIZE_MAX) != ReadResult::kClosed) {
      ignored.clear();
    }
  }
}

}  // namespace cddp

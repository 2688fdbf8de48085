// The thread behind a Liveness, and its sockets. Included by liveness.cc and
// liveness_watch.cc only.
//
// Once a round the thread waits for bytes, for a caller or for the next heartbeat;
// then it reads its links, lets ranks in, does what callers asked for, judges who
// has been silent for too long, and sends its own sign of life. The first loss
// ends it: it tells every link, waits for the far ends to close, and calls
// on_lost.
//
// Thread safety: the sockets, and all members above `mutex_`, belong to the
// thread alone; the members below it are all that it shares with the callers.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "ddp/file_descriptor.h"
#include "ddp/liveness.h"

namespace cddp {

class Liveness::Watch {
 public:
  // Of the sockets rank 0 has a listener, and each other rank a connection that
  // rank 0 has let in; the other one is empty. Throws StatusError(kUnavailable)
  // when the system has no descriptor left.
  Watch(LivenessOptions options, uint64_t token, FileDescriptor listener, FileDescriptor to_first);
  ~Watch();

  // As those of Liveness.
  int port() const { return port_; }
  void WaitForAll();
  void Leave();
  std::optional<Loss> lost() const { return WaitForLoss(std::chrono::milliseconds(0)); }
  std::optional<Loss> WaitForLoss(std::chrono::milliseconds patience) const;

 private:
  using Clock = std::chrono::steady_clock;

  // A connection with a rank that was let in.
  struct Link {
    FileDescriptor socket;
    std::string inbox;
    Clock::time_point heard;
  };

  // One that has not shown the token yet.
  struct Stranger {
    FileDescriptor socket;
    std::string inbox;
    Clock::time_point since;
  };

  void Wake();
  void Run();
  void WaitForEvents(Clock::duration wait);
  void Broadcast(const std::string& message);
  void ReadLinks(Clock::time_point now);
  // Returns false when the far end has said that it goes.
  bool ObeyMessages(int rank, Link& link, Clock::time_point now);
  void AdmitStrangers(Clock::time_point now);
  // Makes a link of a stranger that shows the token; false when done with it.
  bool KeepWaiting(Stranger& stranger, Clock::time_point now);
  void ObeyCallers(Clock::time_point now);
  void Suspect(Loss loss, Clock::time_point now);
  void Judge(Clock::time_point now);
  void Declare(const Loss& loss);
  void EndQuietly();
  void Linger(int except);

  const LivenessOptions options_;
  const uint64_t token_;
  const std::chrono::milliseconds beat_;
  const int port_;

  FileDescriptor listener_;
  FileDescriptor wake_;
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

}  // namespace cddp

// Tells every rank of a run which rank was lost, and why, soon after it happens.
//
// A blocked collective cannot be interrupted, and the errors of the collective
// library name an address, not a rank. So each process keeps one small TCP
// connection to rank 0 (a star) and one background thread that watches it:
//
//   * A process that ends without Leave(), however it ends, closes its
//     connection; every other rank knows within milliseconds.
//   * A process that is stopped, or whose host is cut off, falls silent; every
//     other rank knows within 1.25 * timeout.
//
// Rank 0 judges all other ranks and tells everyone, so all ranks name the same
// one; rank 0 itself is judged by each of the others. A rank that was stopped
// and given up hears that itself when it wakes: the Loss then names its own
// rank. Only the first loss is reported.
//
// What is watched is the process, not its progress: a main thread caught in an
// endless loop is no loss. Time for which this process itself was stopped is
// not held against the others.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

namespace cddp {

struct Loss {
  int rank = 0;
  std::string reason;  // a clause after "rank 2 was lost: ", such as "its connection closed"
};

struct LivenessOptions {
  int rank = 0;        // in [0, world_size)
  int world_size = 1;  // at least 1

  // Silence after which a rank counts as lost; at least 20 ms. Signs of life
  // are sent every min(timeout / 4, 1 s).
  std::chrono::milliseconds timeout{10'000};

  // How long Connect() tries, and WaitForAll() waits, before giving up.
  std::chrono::milliseconds join_timeout{60'000};

  // Called at most once, on the liveness thread, when the other ranks have been
  // told; it may end the process with _exit(). It must neither throw nor destroy
  // the Liveness. Not called once the destructor has begun. May be empty.
  std::function<void(const Loss&)> on_lost;
};

// Thread safety: all members but the destructor may be called from any thread.
class Liveness {
 public:
  // For rank 0: listens on a free port of `host` (empty: of all interfaces) and
  // lets in, in the background, each rank that presents `token`. Take the token
  // at random for each run: it keeps strangers and leftovers of other runs out,
  // it is no defence against someone who reads the network. At most 64
  // connections that have not shown the token are held, each for at most 5 s.
  //
  // Throws StatusError: kInvalidArgument for options out of range (or a rank
  // other than 0), kUnavailable when no port can be had.
  static std::unique_ptr<Liveness> Listen(LivenessOptions options, uint64_t token,
                                          const std::string& host = "");

  // For the other ranks: joins rank 0 at `host`:`port`, trying again until
  // join_timeout has passed.
  //
  // Throws StatusError: kInvalidArgument for options out of range (or rank 0),
  // kUnavailable when nobody there lets this rank in (nobody listens, another
  // token or world size, a second process with the same rank).
  static std::unique_ptr<Liveness> Connect(LivenessOptions options, const std::string& host,
                                           int port, uint64_t token);

  // Without a Leave() before it the others hear that this rank was lost, with
  // the reason that it gave up on an error; if it gave up because another rank
  // ended at about the same time, they hear of that other rank. Waits for up to
  // half a second in that case, and for up to 0.2 s after a Leave().
  ~Liveness();

  Liveness(const Liveness&) = delete;
  Liveness& operator=(const Liveness&) = delete;

  // The port that rank 0 listens on, to be published to the others; 0 on them.
  int port() const;

  // On rank 0: returns when all ranks have joined. On the others: at once.
  //
  // Throws StatusError(kPeerLost) naming the ranks that have not joined within
  // join_timeout from now (those that have are told), or the rank that was lost
  // meanwhile.
  void WaitForAll();

  // The clean end of this rank, for when all ranks agree that the run is over:
  // whatever this rank does from now on is no loss, and it hears of none. When
  // rank 0 leaves, the watch is over for all. Returns when the farewell has been
  // sent; waits for no other rank. Does nothing after a loss or a second time.
  void Leave();

  // The loss, once there is one. On rank 0 it shows when the others were told.
  std::optional<Loss> lost() const;

  // Waits for a loss for up to `patience`. To be asked when a collective has
  // failed, before ending the process: its error may well be here first.
  std::optional<Loss> WaitForLoss(std::chrono::milliseconds patience) const;

 private:
  class Watch;  // the thread and its sockets
  explicit Liveness(std::unique_ptr<Watch> watch);

  std::unique_ptr<Watch> watch_;
};

}  // namespace cddp

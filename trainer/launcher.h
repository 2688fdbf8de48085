// The local launcher: runs the workers of one machine as child processes.
#pragma once

#include <chrono>
#include <string>
#include <vector>

namespace cddp {

struct LaunchOptions {
  int workers = 1;                   // at least 1
  std::vector<std::string> command;  // argv of a worker; [0] is the path of its program

  // What OMP_NUM_THREADS is set to; 0 leaves it as it is here.
  int threads_per_worker = 1;

  // When a worker has failed, the time that the others have to notice and to
  // end with a message of their own before they are told to.
  std::chrono::milliseconds grace{5000};
};

// Starts `workers` processes of `command`, each with RANK and LOCAL_RANK set to
// its number and WORLD_SIZE and LOCAL_WORLD_SIZE to `workers`, and waits until
// all have ended. They share this process's standard streams and its process
// group. No worker outlives the call, and when this process is killed, each
// gets SIGTERM.
//
// When a worker fails (ends by a signal, or with a code other than 0), which is
// logged with its rank, the others get `grace`, then SIGTERM, and 2 s later
// SIGKILL.
//
// SIGINT, SIGTERM, SIGHUP and SIGUSR1 to this process go on to all workers,
// but for those that a terminal has sent to the whole process group already.
// The first three ask for the end: how long the workers take for it is up to
// them (they may be writing a checkpoint), unless one fails; ending by the same
// signal n or with code 128 + n is then no failure. A second SIGINT kills all
// workers at once. Signals that this process ignores stay ignored.
//
// Code 75 is never a failure: a worker has saved a checkpoint and stopped.
//
// Returns the exit code for this process, the first of these that holds:
//   2        the program could not be started; logged with the reason
//   75       a worker ended with that, and none failed
//   else     that of the first worker that failed, where an end by a signal
//            counts as 3 (a peer was lost). A worker that ended with 3 on its
//            own only reports another one's end, so any other failure within
//            `grace` goes before it, and an end as asked too
//   128 + n  it was asked for the end by signal n (130: SIGINT, 143: SIGTERM),
//            and a worker ended by that
//   0        all workers ended with 0, asked for the end or not
//
// Throws StatusError: kInvalidArgument for options out of range, kUnavailable
// when the system refuses another process, pipe or descriptor.
//
// To be called from the main thread, with no other thread running that waits
// for child processes or takes these signals.
int RunWorkers(const LaunchOptions& options);

}  // namespace cddp

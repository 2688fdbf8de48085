#include "trainer/launcher.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <spdlog/spdlog.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <optional>
#include <string_view>
#include <system_error>
#include <utility>

#include "cddp/status.h"

namespace cddp {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int kCannotStart = 2;
constexpr int kPeerLost = 3;
constexpr int kSavedAndStopped = 75;
constexpr std::chrono::seconds kTermToKill{2};
constexpr Clock::time_point kNever = Clock::time_point::max();

[[noreturn]] void ThrowUnavailable(const char* what) {
  throw StatusError(StatusCode::kUnavailable,
                    fmt::format("launcher: {}: {}", what, std::generic_category().message(errno)));
}

struct Received {
  int signal;
  bool by_kernel;  // not by a process
};

// Turns the signals of the launcher into reads of a pipe while it lives; there is one at a
// time. Not by signalfd: threads that libraries have made would take signals from it, as
// the driver of CUDA's do, since they do not block what this thread blocks.
class SignalReader {
 public:
  SignalReader() {
    if (pipe2(pipe_, O_CLOEXEC | O_NONBLOCK) != 0) ThrowUnavailable("pipe");
    written_ = pipe_[1];
    sigemptyset(&watched_);
    for (const int signal : {SIGCHLD, SIGINT, SIGTERM, SIGHUP, SIGUSR1}) {
      struct sigaction own {};
      own.sa_sigaction = PassOn;
      own.sa_flags = SA_SIGINFO | SA_RESTART | SA_NOCLDSTOP;
      sigfillset(&own.sa_mask);
      sigaction(signal, nullptr, &before_[count_]);
      // What is ignored stays so: nohup must not be undone. But where SIGCHLD is ignored, exit
      // codes are lost.
      if (signal != SIGCHLD && before_[count_].sa_handler == SIG_IGN) continue;
      sigaction(signal, &own, nullptr);
      signals_[count_++] = signal;
      sigaddset(&watched_, signal);
    }
  }
  ~SignalReader() {
    for (size_t i = 0; i < count_; ++i) sigaction(signals_[i], &before_[i], nullptr);
    close(pipe_[0]);
    close(pipe_[1]);
  }
  SignalReader(const SignalReader&) = delete;
  SignalReader& operator=(const SignalReader&) = delete;

  void Wait(Clock::time_point until) const {
    int timeout = -1;
    if (until != kNever) {
      const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - Clock::now());
      timeout = static_cast<int>(std::clamp<int64_t>(left.count(), 0, 60'000));
    }
    pollfd entry{pipe_[0], POLLIN, 0};
    poll(&entry, 1, timeout);
  }

  std::optional<Received> Next() const {
    Received received;
    if (read(pipe_[0], &received, sizeof received) != ssize_t{sizeof received}) return std::nullopt;
    return received;
  }

  // fork, but what the child gets before it has restored the signals waits until then.
  pid_t Fork() const {
    sigset_t mask;
    pthread_sigmask(SIG_BLOCK, &watched_, &mask);
    const pid_t pid = fork();
    if (pid == 0) {
      for (size_t i = 0; i < count_; ++i) signal(signals_[i], SIG_DFL);
    }
    const int error = errno;
    pthread_sigmask(SIG_SETMASK, &mask, nullptr);
    errno = error;
    return pid;
  }

 private:
  static void PassOn(int signal, siginfo_t* info, void*) {
    const int error = errno;
    const Received received{signal, info->si_code == SI_KERNEL};
    // Where the pipe is full, whoever reads has enough to do.
    [[maybe_unused]] const ssize_t n = write(written_, &received, sizeof received);
    errno = error;
  }

  static inline volatile int written_ = -1;
  int pipe_[2];
  sigset_t watched_;
  std::array<int, 5> signals_;
  std::array<struct sigaction, 5> before_;  // of those
  size_t count_ = 0;
};

std::vector<std::string> Environment(const LaunchOptions& options, int rank) {
  std::vector<std::string> result{fmt::format("RANK={}", rank), fmt::format("LOCAL_RANK={}", rank),
                                  fmt::format("WORLD_SIZE={}", options.workers),
                                  fmt::format("LOCAL_WORLD_SIZE={}", options.workers)};
  if (options.threads_per_worker > 0) {
    result.push_back(fmt::format("OMP_NUM_THREADS={}", options.threads_per_worker));
  }
  const size_t own = result.size();
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view text(*entry);
    const std::string_view name = text.substr(0, text.find('=') + 1);
    const auto set_here = [&](const std::string& s) { return s.starts_with(name); };
    if (std::none_of(result.begin(), result.begin() + static_cast<ptrdiff_t>(own), set_here)) {
      result.emplace_back(text);
    }
  }
  return result;
}

std::vector<char*> Pointers(std::vector<std::string>& strings) {
  std::vector<char*> result;
  result.reserve(strings.size() + 1);
  for (std::string& s : strings) result.push_back(s.data());
  result.push_back(nullptr);
  return result;
}

// The child's side between fork and exec: only calls that are safe there.
[[noreturn]] void BecomeWorker(pid_t launcher, char** argv, char** envp, int error_pipe) {
  prctl(PR_SET_PDEATHSIG, SIGTERM);
  // The launcher may have died before the line above.
  if (getppid() != launcher) _exit(kPeerLost);
  execve(argv[0], argv, envp);
  const int error = errno;
  [[maybe_unused]] const ssize_t n = write(error_pipe, &error, sizeof error);
  _exit(kCannotStart);
}

class Workers {
 public:
  explicit Workers(const LaunchOptions& options) : options_(options) {}

  ~Workers() {
    Signal(SIGKILL);
    for (const pid_t pid : pids_) {
      while (pid != 0 && waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
      }
    }
  }
  Workers(const Workers&) = delete;
  Workers& operator=(const Workers&) = delete;

  // Returns 0, or the error number with which the program could not be started.
  int Start(const SignalReader& signals) {
    std::vector<std::string> command = options_.command;
    const std::vector<char*> argv = Pointers(command);
    const pid_t launcher = getpid();
    for (int rank = 0; rank < options_.workers; ++rank) {
      std::vector<std::string> environment = Environment(options_, rank);
      const std::vector<char*> envp = Pointers(environment);
      int error_pipe[2];
      if (pipe2(error_pipe, O_CLOEXEC) != 0) ThrowUnavailable("pipe");
      const pid_t pid = signals.Fork();
      if (pid == 0) {
        BecomeWorker(launcher, const_cast<char**>(argv.data()), const_cast<char**>(envp.data()),
                     error_pipe[1]);
      }
      const int fork_error = errno;
      close(error_pipe[1]);
      if (pid > 0) pids_.push_back(pid);
      // The pipe closes with nothing in it when exec succeeds.
      int exec_error = 0;
      while (pid > 0 && read(error_pipe[0], &exec_error, sizeof exec_error) < 0 && errno == EINTR) {
      }
      close(error_pipe[0]);
      if (pid < 0) {
        errno = fork_error;
        ThrowUnavailable("fork");
      }
      if (exec_error != 0) return exec_error;
    }
    return 0;
  }

  int AwaitAll(const SignalReader& signals) {
    // What a terminal sent meanwhile has not reached those that were started after it.
    while (const auto received = signals.Next()) {
      if (received->signal != SIGCHLD) PassOn({.signal = received->signal, .by_kernel = false});
    }
    Reap();
    while (running() > 0) {
      signals.Wait(deadline_);
      while (const auto received = signals.Next()) {
        if (received->signal != SIGCHLD) PassOn(*received);
      }
      Reap();
      if (Clock::now() >= deadline_) Press();
    }
    if (failure_ == 0 && stopped_) return kSavedAndStopped;
    // A loss that is only reported is that of one which ended as it was asked to.
    if (failure_ != 0 && !(failure_only_reports_ && obeyed_)) return failure_;
    return obeyed_ ? 128 + asked_ : 0;
  }

 private:
  size_t running() const {
    return pids_.size() - static_cast<size_t>(std::ranges::count(pids_, 0));
  }

  void Signal(int signal) const {
    for (const pid_t pid : pids_) {
      if (pid != 0) kill(pid, signal);
    }
  }

  void PassOn(const Received& received) {
    const int signal = received.signal;
    if (signal == SIGINT && ++interrupts_ == 2) {
      spdlog::warn("interrupted again: killing {} workers", running());
      Signal(SIGKILL);
      return;
    }
    if (signal != SIGUSR1 && asked_ == 0) {
      asked_ = signal;
      spdlog::info("signal {} ({}): stopping {} workers", signal, strsignal(signal), running());
    }
    // The kernel itself sends these from a terminal only, to all of the group.
    if (!received.by_kernel) Signal(signal);
  }

  void Reap() {
    for (size_t rank = 0; rank < pids_.size(); ++rank) {
      int status = 0;
      if (pids_[rank] == 0 || waitpid(pids_[rank], &status, WNOHANG) == 0) continue;
      const pid_t pid = std::exchange(pids_[rank], 0);
      if (WIFEXITED(status) && WEXITSTATUS(status) == 0) continue;
      Log(rank, pid, status);
      if (Stopped(status)) {
        stopped_ = true;
      } else if (Obeyed(status)) {
        obeyed_ = true;
      } else {
        NoteFailure(status);
      }
    }
  }

  static bool Stopped(int status) {
    return WIFEXITED(status) && WEXITSTATUS(status) == kSavedAndStopped;
  }

  // Ended by the signal that asked for it.
  bool Obeyed(int status) const {
    if (asked_ == 0) return false;
    if (interrupts_ > 1 && WIFSIGNALED(status)) return true;  // by SIGKILL from here
    return WIFEXITED(status) ? WEXITSTATUS(status) == 128 + asked_ : WTERMSIG(status) == asked_;
  }

  void Log(size_t rank, pid_t pid, int status) const {
    const bool expected = presses_ > 0 || Stopped(status) || Obeyed(status);
    const auto level = expected ? spdlog::level::info : spdlog::level::err;
    if (WIFEXITED(status)) {
      spdlog::log(level, "worker rank {} (pid {}) exited with code {}", rank, pid,
                  WEXITSTATUS(status));
    } else {
      spdlog::log(level, "worker rank {} (pid {}) was killed by signal {} ({})", rank, pid,
                  WTERMSIG(status), strsignal(WTERMSIG(status)));
    }
  }

  void NoteFailure(int status) {
    const int code = WIFEXITED(status) ? WEXITSTATUS(status) : kPeerLost;
    const bool only_reports = WIFEXITED(status) && code == kPeerLost;
    if (failure_ == 0 || (failure_only_reports_ && !only_reports && presses_ == 0)) {
      failure_ = code;
      failure_only_reports_ = only_reports;
    }
    if (deadline_ == kNever) deadline_ = Clock::now() + options_.grace;
  }

  void Press() {
    const int signal = presses_++ == 0 ? SIGTERM : SIGKILL;
    spdlog::warn("{} workers still run: sending them signal {} ({})", running(), signal,
                 strsignal(signal));
    Signal(signal);
    deadline_ = Clock::now() + kTermToKill;
  }

  const LaunchOptions& options_;
  std::vector<pid_t> pids_;  // by rank; 0 when it has ended
  int asked_ = 0;            // the first signal that asked for the end
  bool stopped_ = false;     // a worker has saved a checkpoint and stopped
  bool obeyed_ = false;      // a worker has ended by that signal
  int interrupts_ = 0;
  int failure_ = 0;  // the exit code for it; 0 while there is none
  bool failure_only_reports_ = false;
  int presses_ = 0;                      // how often the rest were told to end
  Clock::time_point deadline_ = kNever;  // when they are told the next time
};

}  // namespace

int RunWorkers(const LaunchOptions& options) {
  if (options.workers < 1 || options.command.empty() || options.threads_per_worker < 0 ||
      options.grace.count() < 0) {
    throw StatusError(StatusCode::kInvalidArgument,
                      fmt::format("launcher: {} workers, {} words of command, {} threads for each, "
                                  "grace {} ms",
                                  options.workers, options.command.size(),
                                  options.threads_per_worker, options.grace.count()));
  }
  const SignalReader signals;
  Workers workers(options);
  if (const int error = workers.Start(signals); error != 0) {
    spdlog::error("cannot start the workers: {}: {}", options.command[0],
                  std::generic_category().message(error));
    return kCannotStart;
  }
  return workers.AwaitAll(signals);
}

}  // namespace cddp

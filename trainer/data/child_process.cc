#include "trainer/data/child_process.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <deque>
#include <fstream>
#include <thread>

#include "cddp/status.h"
#include "ddp/file_descriptor.h"

namespace cddp {
namespace {

using Clock = std::chrono::steady_clock;

constexpr size_t kReportedLines = 4;
constexpr size_t kReportedLineBytes = 200;
constexpr std::chrono::milliseconds kPollInterval{20};

[[noreturn]] void ThrowUnavailable(const std::string& message) {
  throw StatusError(StatusCode::kUnavailable, message);
}

std::string LastLines(const std::filesystem::path& log_file) {
  std::ifstream log(log_file);
  std::deque<std::string> lines;
  for (std::string line; std::getline(log, line);) {
    if (line.empty()) continue;
    lines.push_back(line.substr(0, kReportedLineBytes));
    if (lines.size() > kReportedLines) lines.pop_front();
  }
  return lines.empty() ? "it printed nothing" : fmt::format("{}", fmt::join(lines, " | "));
}

// Runs in the forked child, where only async-signal-safe calls are allowed.
[[noreturn]] void BecomeProgram(char* const* arguments, const char* folder, int input, int output,
                                int error_pipe) {
  setpgid(0, 0);
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (dup2(input, STDIN_FILENO) >= 0 && dup2(output, STDOUT_FILENO) >= 0 &&
      dup2(output, STDERR_FILENO) >= 0 && chdir(folder) == 0) {
    execvp(arguments[0], arguments);
  }
  const int code = errno;
  [[maybe_unused]] const ssize_t written = write(error_pipe, &code, sizeof(code));
  _exit(127);
}

// Zero once the program is running, else the errno of what kept it from that.
int ReadStartError(int error_pipe) {
  int code = 0;
  ssize_t got;
  do {
    got = read(error_pipe, &code, sizeof(code));
  } while (got < 0 && errno == EINTR);
  return got == sizeof(code) ? code : 0;
}

int WaitUntil(pid_t child, Clock::time_point deadline, bool* timed_out) {
  int wait_status = 0;
  *timed_out = false;
  for (;;) {
    const pid_t ended = waitpid(child, &wait_status, *timed_out ? 0 : WNOHANG);
    if (ended == child) return wait_status;
    if (ended < 0 && errno != EINTR) {
      ThrowUnavailable(fmt::format("cannot wait for a program: {}", std::strerror(errno)));
    }
    if (!*timed_out && Clock::now() >= deadline) {
      *timed_out = true;
      kill(-child, SIGKILL);
    } else if (!*timed_out) {
      std::this_thread::sleep_for(kPollInterval);
    }
  }
}

}  // namespace

void RunProgram(const std::vector<std::string>& arguments, const std::filesystem::path& folder,
                const std::filesystem::path& log_file, std::chrono::milliseconds time_limit) {
  std::vector<char*> argv;
  argv.reserve(arguments.size() + 1);
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);

  const FileDescriptor input(open("/dev/null", O_RDONLY | O_CLOEXEC));
  const FileDescriptor output(
      open(log_file.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  int ends[2];
  if (input.get() < 0 || output.get() < 0 || pipe2(ends, O_CLOEXEC) != 0) {
    ThrowUnavailable(fmt::format("cannot start '{}': {}", arguments[0], std::strerror(errno)));
  }
  const FileDescriptor error_read(ends[0]);
  FileDescriptor error_write(ends[1]);

  const Clock::time_point deadline = Clock::now() + time_limit;
  const pid_t child = fork();
  if (child < 0) {
    ThrowUnavailable(fmt::format("cannot start '{}': {}", arguments[0], std::strerror(errno)));
  }
  if (child == 0) {
    BecomeProgram(argv.data(), folder.c_str(), input.get(), output.get(), error_write.get());
  }
  // Done on both sides of the fork, so that the group exists whichever runs first.
  setpgid(child, child);
  error_write.Close();

  const int start_error = ReadStartError(error_read.get());
  bool timed_out = false;
  const int wait_status = WaitUntil(child, deadline, &timed_out);
  if (start_error == ENOENT) {
    ThrowUnavailable(fmt::format("the program '{}' is not installed", arguments[0]));
  }
  if (start_error != 0) {
    ThrowUnavailable(
        fmt::format("cannot start '{}': {}", arguments[0], std::strerror(start_error)));
  }
  const std::string command = fmt::format("{}", fmt::join(arguments, " "));
  if (timed_out) {
    ThrowUnavailable(fmt::format("'{}' was still running after {} s and was killed: {}", command,
                                 static_cast<double>(time_limit.count()) / 1000,
                                 LastLines(log_file)));
  }
  if (WIFSIGNALED(wait_status)) {
    ThrowUnavailable(fmt::format("'{}' was ended by signal {}: {}", command, WTERMSIG(wait_status),
                                 LastLines(log_file)));
  }
  if (WEXITSTATUS(wait_status) != 0) {
    ThrowUnavailable(fmt::format("'{}' ended with exit code {}: {}", command,
                                 WEXITSTATUS(wait_status), LastLines(log_file)));
  }
}

}  // namespace cddp

// How the program ends when something went wrong.
#pragma once

#include <fmt/format.h>

#include <string>
#include <type_traits>

#include "cddp/status.h"

namespace cddp {

// What all ranks throw at the same point, having seen the same: none of them is lost.
class SharedError final : public StatusError {
 public:
  using StatusError::StatusError;
};

// Throws StatusError(kInvalidArgument): an option or a file asks for what cannot be done.
[[noreturn]] void Refuse(const std::string& message);

// Refuses a number that is not from `low` to `high`, as no NaN is.
template <typename T>
void RequireRange(const char* flag, T value, std::type_identity_t<T> low,
                  std::type_identity_t<T> high) {
  if (value >= low && value <= high) return;
  Refuse(fmt::format("{} must be from {} to {}, got {}", flag, low, high, value));
}

// Refuses what is no --ratio.
void RequireRatio(double ratio);

// Exit codes: 0 done, 1 internal error, 2 usage or configuration, 3 a peer was
// lost, 4 diverged, 5 corrupt data, 75 (EX_TEMPFAIL of sysexits.h) asked to stop, with a
// checkpoint saved: to be started again.
int ExitCode(StatusCode code);

// Logs the message and leaves it where torchrun looks for the cause of a
// failure (TORCHELASTIC_ERROR_FILE). Returns the exit code. Any thread.
int ReportFailure(const Status& status);

}  // namespace cddp

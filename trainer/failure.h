// How the program ends when something went wrong.
#pragma once

#include <string>

#include "cddp/status.h"

namespace cddp {

// What all ranks throw at the same point, having seen the same: none of them is lost.
class SharedError final : public StatusError {
 public:
  using StatusError::StatusError;
};

// Throws StatusError(kInvalidArgument): an option or a file asks for what cannot be done.
[[noreturn]] void Refuse(const std::string& message);

// Exit codes: 0 done, 1 internal error, 2 usage or configuration, 3 a peer was
// lost, 4 diverged, 5 corrupt data, 75 (EX_TEMPFAIL of sysexits.h) asked to stop, with a
// checkpoint saved: to be started again.
int ExitCode(StatusCode code);

// Logs the message and leaves it where torchrun looks for the cause of a
// failure (TORCHELASTIC_ERROR_FILE). Returns the exit code. Any thread.
int ReportFailure(const Status& status);

}  // namespace cddp

// Typed outcome of an operation that can fail because of something outside the
// program: arguments, files, bytes from peers, a lost peer.
//
// The rooms core and collective return Status and never throw. The rooms ddp
// and trainer turn a Status into a StatusError at their edge; the program maps
// the code to its exit code. Broken invariants of our own are kInternal.
//
// Thread safety: values; copy them freely.
#pragma once

#include <stdexcept>
#include <string>
#include <utility>

namespace cddp {

enum class StatusCode {
  kOk,
  kInvalidArgument,  // an option, configuration or call that cannot be carried out
  kPeerLost,         // another rank ended, stopped answering, or closed its connection
  kDiverged,         // non-finite loss or gradients that do not go away
  kCorrupt,          // bytes from a file or a peer that fail validation
  kInterrupted,      // asked to stop; what was done so far is saved
  kUnavailable,      // a file, folder, address or data source cannot be reached
  kInternal,         // none of the above
};

// The message says what was expected, what came, and where.
class [[nodiscard]] Status {
 public:
  Status() = default;
  Status(StatusCode code, std::string message) : code_(code), message_(std::move(message)) {}

  static Status Ok() { return {}; }
  static Status InvalidArgument(std::string m) {
    return {StatusCode::kInvalidArgument, std::move(m)};
  }
  static Status PeerLost(std::string m) { return {StatusCode::kPeerLost, std::move(m)}; }
  static Status Corrupt(std::string m) { return {StatusCode::kCorrupt, std::move(m)}; }
  static Status Unavailable(std::string m) { return {StatusCode::kUnavailable, std::move(m)}; }
  static Status Internal(std::string m) { return {StatusCode::kInternal, std::move(m)}; }

  bool ok() const { return code_ == StatusCode::kOk; }
  StatusCode code() const { return code_; }
  const std::string& message() const { return message_; }

 private:
  StatusCode code_ = StatusCode::kOk;
  std::string message_;
};

// A Status on its way through a room that speaks in exceptions.
class StatusError : public std::runtime_error {
 public:
  explicit StatusError(const Status& status)
      : std::runtime_error(status.message()), code_(status.code()) {}
  StatusError(StatusCode code, const std::string& message)
      : std::runtime_error(message), code_(code) {}

  StatusCode code() const { return code_; }
  Status status() const { return {code_, what()}; }

 private:
  StatusCode code_;
};

inline void ThrowIfError(const Status& status) {
  if (!status.ok()) throw StatusError(status);
}

}  // namespace cddp

// Returns the Status of `expression` from the calling function unless it is ok.
#define CDDP_RETURN_IF_ERROR(expression)                        \
  do {                                                          \
    if (::cddp::Status status_ = (expression); !status_.ok()) { \
      return status_;                                           \
    }                                                           \
  } while (false)

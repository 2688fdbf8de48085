// Exceptions of libtorch and Gloo as one line, as memory that ran out, and as a lost peer.
#pragma once

#include <c10/util/Exception.h>
#include <fmt/format.h>

#include <exception>
#include <new>
#include <optional>
#include <string>

#include "cddp/status.h"

namespace cddp {

// Without the stack trace that follows.
inline std::string FirstLine(const std::exception& error) {
  const std::string text = error.what();
  return text.substr(0, text.find('\n'));
}

// Unavailable, with what to lower, where a device's or the host's memory ran out: libtorch's own
// error says how much was needed; those of CUDA and its libraries, as for the context of one more
// process, do not. Nothing for other errors.
inline std::optional<Status> OutOfMemory(const std::exception& error) {
  const std::string line = FirstLine(error);
  const auto says = [&](const char* words) { return line.find(words) != std::string::npos; };
  if (dynamic_cast<const c10::OutOfMemoryError*>(&error) == nullptr &&
      dynamic_cast<const std::bad_alloc*>(&error) == nullptr && !says("out of memory") &&
      !says("ALLOC_FAILED") && !says("can't allocate memory")) {
    return std::nullopt;
  }
  return Status::Unavailable(
      fmt::format("{}; lower --batch-size (--accumulate keeps the step's size), use --amp bf16, or "
                  "start fewer workers on a device",
                  line));
}

// Runs it; memory that runs out becomes a StatusError (OutOfMemory).
template <class Work>
void NamingOutOfMemory(Work work) {
  try {
    work();
  } catch (const std::exception& error) {
    if (const std::optional<Status> status = OutOfMemory(error)) throw StatusError(*status);
    throw;
  }
}

// Runs a collective or a call of the store; what they throw becomes kPeerLost, but for memory that
// runs out; a StatusError stays what it is. Gloo names an address, never a rank:
// World::WaitForLoss knows the rank.
template <class Call>
void RethrowAsPeerLost(const std::string& what, Call call) {
  try {
    call();
  } catch (const StatusError&) {
    throw;
  } catch (const std::exception& error) {
    if (const std::optional<Status> status = OutOfMemory(error)) throw StatusError(*status);
    throw StatusError(StatusCode::kPeerLost, fmt::format("{} failed: {}", what, FirstLine(error)));
  }
}

}  // namespace cddp

// Exceptions of libtorch and Gloo as one line, and as a lost peer.
#pragma once

#include <fmt/format.h>

#include <exception>
#include <string>

#include "cddp/status.h"

namespace cddp {

// Without the stack trace that follows.
inline std::string FirstLine(const std::exception& error) {
  const std::string text = error.what();
  return text.substr(0, text.find('\n'));
}

// Runs a collective or a call of the store; what they throw becomes kPeerLost, a
// StatusError stays what it is. Gloo names an address, never a rank:
// World::WaitForLoss knows the rank.
template <class Call>
void RethrowAsPeerLost(const std::string& what, Call call) {
  try {
    call();
  } catch (const StatusError&) {
    throw;
  } catch (const std::exception& error) {
    throw StatusError(StatusCode::kPeerLost, fmt::format("{} failed: {}", what, FirstLine(error)));
  }
}

}  // namespace cddp

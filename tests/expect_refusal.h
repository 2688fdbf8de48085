// What tests of refusals share.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <vector>

#include "cddp/status.h"

namespace cddp {

// The call throws StatusError with `code`, and its message holds the fragments.
inline void ExpectRefusal(const std::function<void()>& call, StatusCode code,
                          const std::vector<std::string>& fragments) {
  try {
    call();
  } catch (const StatusError& error) {
    EXPECT_EQ(error.code(), code) << error.what();
    for (const std::string& fragment : fragments) {
      EXPECT_NE(std::string(error.what()).find(fragment), std::string::npos)
          << "no '" << fragment << "' in: " << error.what();
    }
    return;
  }
  ADD_FAILURE() << "nothing was thrown" << (fragments.empty() ? "" : ": expected " + fragments[0]);
}

}  // namespace cddp

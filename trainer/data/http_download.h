// Download of one file over HTTP into memory (libcurl).
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace cddp {

struct HttpLimits {
  uint64_t max_bytes = 0;  // a longer body is refused
  std::chrono::milliseconds connect_timeout{5000};
  // Slower than `min_bytes_per_second` for `slow_period` counts as stalled.
  long min_bytes_per_second = 1000;
  std::chrono::seconds slow_period{20};
  // Comma-separated; holds for redirections too. Only tests allow "http".
  std::string protocols = "https";
};

// `total` is 0 while the server has not said how much there is.
using HttpProgress = std::function<void(uint64_t done_bytes, uint64_t total_bytes)>;

// The body of the answer to a GET. Follows redirections, uses the proxy of the
// usual environment variables, and checks the server's certificate. Throws
// StatusError(kUnavailable) that says what went wrong but not the URL, which the
// caller knows; an answer other than success, a stalled transfer, one cut short and
// a body over the cap are such errors. Blocks;
// `progress` is called from the same thread and must not throw.
// Thread safety: any thread.
std::vector<uint8_t> HttpDownload(const std::string& url, const HttpLimits& limits,
                                  const HttpProgress& progress);

}  // namespace cddp

#include "trainer/data/http_download.h"

#include <curl/curl.h>
#include <fmt/format.h>

#include <array>
#include <memory>

#include "cddp/status.h"

namespace cddp {
namespace {

constexpr long kMaxRedirects = 5;

struct Transfer {
  std::vector<uint8_t> body;
  uint64_t max_bytes = 0;
  bool over_cap = false;
  const HttpProgress* progress = nullptr;
};

// Any return other than the given size makes curl give up.
size_t Receive(char* data, size_t size, size_t count, void* user) {
  auto& transfer = *static_cast<Transfer*>(user);
  const size_t bytes = size * count;
  if (bytes > transfer.max_bytes - transfer.body.size()) {
    transfer.over_cap = true;
    return CURL_WRITEFUNC_ERROR;
  }
  try {
    transfer.body.insert(transfer.body.end(), data, data + bytes);
  } catch (const std::bad_alloc&) {
    return CURL_WRITEFUNC_ERROR;
  }
  return bytes;
}

int Progress(void* user, curl_off_t total, curl_off_t done, curl_off_t, curl_off_t) {
  const auto& transfer = *static_cast<Transfer*>(user);
  (*transfer.progress)(static_cast<uint64_t>(done), static_cast<uint64_t>(total));
  return 0;
}

void InitializeCurlOnce() {
  static const CURLcode result = curl_global_init(CURL_GLOBAL_DEFAULT);
  if (result != CURLE_OK) {
    throw StatusError(StatusCode::kUnavailable, "libcurl could not be initialized");
  }
}

}  // namespace

std::vector<uint8_t> HttpDownload(const std::string& url, const HttpLimits& limits,
                                  const HttpProgress& progress) {
  InitializeCurlOnce();
  const std::unique_ptr<CURL, decltype(&curl_easy_cleanup)> handle(curl_easy_init(),
                                                                   &curl_easy_cleanup);
  CURL* curl = handle.get();
  if (curl == nullptr) throw StatusError(StatusCode::kUnavailable, "libcurl could not start");

  Transfer transfer;
  transfer.max_bytes = limits.max_bytes;
  transfer.progress = &progress;
  std::array<char, CURL_ERROR_SIZE> error_text{};

  bool accepted = true;
  const auto set = [&](CURLoption option, auto value) {
    accepted = curl_easy_setopt(curl, option, value) == CURLE_OK && accepted;
  };
  set(CURLOPT_URL, url.c_str());
  set(CURLOPT_PROTOCOLS_STR, limits.protocols.c_str());
  set(CURLOPT_REDIR_PROTOCOLS_STR, limits.protocols.c_str());
  set(CURLOPT_FOLLOWLOCATION, 1L);
  set(CURLOPT_MAXREDIRS, kMaxRedirects);
  set(CURLOPT_FAILONERROR, 1L);
  // Signals would interfere with the threads of the program.
  set(CURLOPT_NOSIGNAL, 1L);
  set(CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(limits.connect_timeout.count()));
  set(CURLOPT_LOW_SPEED_LIMIT, limits.min_bytes_per_second);
  set(CURLOPT_LOW_SPEED_TIME, static_cast<long>(limits.slow_period.count()));
  set(CURLOPT_MAXFILESIZE_LARGE, static_cast<curl_off_t>(limits.max_bytes));
  set(CURLOPT_USERAGENT, "cddp");
  set(CURLOPT_ERRORBUFFER, error_text.data());
  set(CURLOPT_WRITEFUNCTION, &Receive);
  set(CURLOPT_WRITEDATA, &transfer);
  set(CURLOPT_XFERINFOFUNCTION, &Progress);
  set(CURLOPT_XFERINFODATA, &transfer);
  set(CURLOPT_NOPROGRESS, progress ? 0L : 1L);
  if (!accepted) {
    throw StatusError(
        StatusCode::kUnavailable,
        fmt::format("this libcurl ({}) lacks an option that downloads need", curl_version()));
  }

  const CURLcode result = curl_easy_perform(curl);
  if (transfer.over_cap || result == CURLE_FILESIZE_EXCEEDED) {
    throw StatusError(StatusCode::kUnavailable,
                      fmt::format("refused, larger than {} bytes", limits.max_bytes));
  }
  if (result != CURLE_OK) {
    throw StatusError(StatusCode::kUnavailable,
                      error_text[0] != '\0' ? error_text.data() : curl_easy_strerror(result));
  }
  return std::move(transfer.body);
}

}  // namespace cddp

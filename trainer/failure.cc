#include "trainer/failure.h"

#include <spdlog/spdlog.h>

#include <cstdlib>
#include <ctime>
#include <fstream>
#include <nlohmann/json.hpp>

#include "cddp/selection.h"

namespace cddp {

void Refuse(const std::string& message) {
  throw StatusError(StatusCode::kInvalidArgument, message);
}

void RequireRatio(double ratio) {
  if (Status status = ValidateRatio(ratio); !status.ok()) Refuse("--ratio: " + status.message());
}

int ExitCode(StatusCode code) {
  switch (code) {
    case StatusCode::kOk:
      return 0;
    case StatusCode::kInvalidArgument:
    case StatusCode::kUnavailable:
      return 2;
    case StatusCode::kPeerLost:
      return 3;
    case StatusCode::kDiverged:
      return 4;
    case StatusCode::kCorrupt:
      return 5;
    case StatusCode::kInterrupted:
      return 75;
    case StatusCode::kInternal:
      return 1;
  }
  return 1;
}

int ReportFailure(const Status& status) {
  const bool saved = status.code() == StatusCode::kInterrupted;
  spdlog::log(saved ? spdlog::level::warn : spdlog::level::err, "{}", status.message());
  spdlog::default_logger()->flush();
  if (const char* path = std::getenv("TORCHELASTIC_ERROR_FILE")) {
    const nlohmann::json error = {
        {"message",
         {{"message", status.message()},
          {"extraInfo", {{"timestamp", std::to_string(std::time(nullptr))}}}}}};
    // Names of files may be in any encoding.
    std::ofstream(path) << error.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  }
  return ExitCode(status.code());
}

}  // namespace cddp

#include "trainer/data/temporary_folder.h"

#include <fmt/format.h>
#include <stdlib.h>

#include <cerrno>
#include <cstring>
#include <string>
#include <system_error>

#include "cddp/status.h"

namespace cddp {

TemporaryFolder::TemporaryFolder() {
  std::error_code error;
  const std::filesystem::path parent = std::filesystem::temp_directory_path(error);
  if (error) {
    throw StatusError(
        StatusCode::kUnavailable,
        fmt::format("no temporary folder ({}); point TMPDIR at one", error.message()));
  }
  std::string pattern = (parent / "cddp-XXXXXX").string();
  if (mkdtemp(pattern.data()) == nullptr) {
    throw StatusError(StatusCode::kUnavailable,
                      fmt::format("cannot create a temporary folder in {}: {}; point TMPDIR at a "
                                  "folder that can be written",
                                  parent.string(), std::strerror(errno)));
  }
  path_ = pattern;
}

TemporaryFolder::~TemporaryFolder() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

}  // namespace cddp

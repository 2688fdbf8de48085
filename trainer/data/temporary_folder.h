// A folder of a unique name under the system's temporary folder (TMPDIR).
#pragma once

#include <filesystem>

namespace cddp {

// Created readable by its owner only, removed with all it holds on destruction.
// The constructor throws StatusError(kUnavailable) if it cannot be created.
// Thread safety: separate objects are independent, also between processes.
class TemporaryFolder {
 public:
  TemporaryFolder();
  ~TemporaryFolder();
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;

  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

}  // namespace cddp

// A lock on a folder that several processes honour.
#pragma once

#include <filesystem>
#include <functional>

#include "ddp/file_descriptor.h"

namespace cddp {

// Holds the advisory lock (flock) of an existing folder from construction to
// destruction; needs no lock file, and the system frees it if the process dies.
// Threads of one process exclude each other as processes do.
class FolderLock {
 public:
  // Waits without limit while another one holds it, after calling `on_wait` once.
  // Where the file system has no locks, goes on without: see held().
  FolderLock(const std::filesystem::path& folder, const std::function<void()>& on_wait);

  bool held() const { return held_; }

 private:
  FileDescriptor folder_;
  bool held_ = false;
};

}  // namespace cddp

#include "trainer/data/tar_archive.h"

#include <fmt/format.h>

#include <chrono>
#include <system_error>

#include "cddp/status.h"
#include "trainer/data/child_process.h"
#include "trainer/data/file_bytes.h"
#include "trainer/data/gunzip.h"
#include "trainer/data/temporary_folder.h"

namespace cddp {
namespace {

namespace fs = std::filesystem;

constexpr std::chrono::seconds kTimeLimit{600};

[[noreturn]] void ThrowHostile(const fs::path& entry, const fs::path& folder, const char* why) {
  throw StatusError(StatusCode::kCorrupt,
                    fmt::format("the archive's {} {}; nothing of it is used",
                                entry.lexically_relative(folder).string(), why));
}

// A link would lead whoever reads it out of the folder, a pipe would never end.
void RequireFilesAndFolders(const fs::path& folder, uint64_t max_bytes) {
  uint64_t left = max_bytes;
  for (const fs::directory_entry& entry : fs::recursive_directory_iterator(folder)) {
    const fs::file_status status = entry.symlink_status();
    if (fs::is_directory(status)) continue;
    if (!fs::is_regular_file(status)) {
      ThrowHostile(entry.path(), folder, "is neither a file nor a folder");
    }
    // A sparse file may claim what the archive never held.
    const uint64_t bytes = entry.file_size();
    if (bytes > left) ThrowHostile(entry.path(), folder, "makes it larger than is allowed");
    left -= bytes;
  }
}

}  // namespace

void UnpackTarGz(std::span<const uint8_t> archive, const fs::path& folder, uint64_t max_bytes) {
  const TemporaryFolder beside;
  const fs::path plain = beside.path() / "archive.tar";
  // Decoded here, for tar has no bound. It refuses names with "..", makes absolute ones relative
  // and never follows a link of the archive.
  WriteFileAtomically(plain, Gunzip(archive, max_bytes, "the archive"));
  RunProgram({"tar", "-xf", plain.string(), "--no-same-owner", "--no-same-permissions", "-C",
              folder.string()},
             beside.path(), beside.path() / "tar.log", kTimeLimit);
  try {
    RequireFilesAndFolders(folder, max_bytes);
  } catch (const fs::filesystem_error& error) {
    throw StatusError(StatusCode::kUnavailable,
                      fmt::format("what the archive held cannot be read: {}", error.what()));
  }
}

}  // namespace cddp

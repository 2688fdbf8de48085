#include "trainer/data/file_bytes.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <optional>
#include <string>
#include <system_error>

#include "cddp/status.h"
#include "ddp/file_descriptor.h"

namespace cddp {
namespace {

namespace fs = std::filesystem;

constexpr const char* kUniqueSuffix = "XXXXXX";

std::span<const uint8_t> BytesOf(std::string_view text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

// Where the symbolic links at `path` lead, also when nothing is there yet.
fs::path Followed(fs::path path) {
  constexpr int kMaxLinks = 40;  // as the kernel
  std::error_code error;
  for (int i = 0; i < kMaxLinks && fs::is_symlink(path, error); ++i) {
    const fs::path target = fs::read_symlink(path, error);
    if (error) break;
    path = path.parent_path() / target;  // stays `target` when that is absolute
  }
  return path;
}

fs::path FolderOf(const fs::path& path) {
  return path.has_parent_path() ? path.parent_path() : fs::path(".");
}

// The open file that a name such as /dev/stdout stands for, if it is one: what that is redirected
// to must be written on from where it is, not replaced.
std::optional<int> DescriptorOf(fs::path path) {
  constexpr int kMaxLinks = 40;
  std::error_code error;
  for (int i = 0; i < kMaxLinks; ++i) {
    const fs::path folder = path.parent_path();
    if (folder == "/dev/fd" || folder == "/proc/self/fd") {
      int descriptor = 0;
      const std::string name = path.filename();
      const char* end = name.data() + name.size();
      const auto [at, wrong] = std::from_chars(name.data(), end, descriptor);
      if (wrong == std::errc() && at == end) return descriptor;
    }
    if (!fs::is_symlink(path, error)) return std::nullopt;
    path = folder / fs::read_symlink(path, error);
    if (error) return std::nullopt;
  }
  return std::nullopt;
}

// Something that a rename would destroy instead of writing to it.
bool IsSpecial(const fs::path& path) {
  std::error_code error;
  const fs::file_type type = fs::status(path, error).type();
  return type != fs::file_type::regular && type != fs::file_type::not_found &&
         type != fs::file_type::none;
}

// A file that disappears again unless it was renamed into place.
class TemporaryFile {
 public:
  TemporaryFile(const fs::path& folder, const std::string& stem)
      : path_((folder / (kTemporaryMark + stem + "-" + kUniqueSuffix)).string()),
        descriptor_(mkostemp(path_.data(), O_CLOEXEC)) {
    if (descriptor_.get() < 0) ThrowErrno("cannot create a file in", folder);
  }
  ~TemporaryFile() {
    if (!renamed_) unlink(path_.c_str());
  }
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;

  void Write(std::span<const uint8_t> bytes) { WriteAll(descriptor_.get(), bytes, path_); }

  void RenameTo(const fs::path& target) {
    // mkostemp makes files for the owner alone; data sets are for everybody.
    if (fchmod(descriptor_.get(), 0644) != 0 || fsync(descriptor_.get()) != 0) {
      ThrowErrno("cannot flush", path_);
    }
    if (rename(path_.c_str(), target.c_str()) != 0) ThrowErrno("cannot put a file at", target);
    renamed_ = true;
  }

 private:
  std::string path_;
  FileDescriptor descriptor_;
  bool renamed_ = false;
};

}  // namespace

void ThrowErrno(const std::string& what, const fs::path& path) {
  throw StatusError(StatusCode::kUnavailable,
                    fmt::format("{} {}: {}", what, path.string(), std::strerror(errno)));
}

void WriteAll(int fd, std::span<const uint8_t> bytes, const fs::path& path) {
  while (!bytes.empty()) {
    const ssize_t written = write(fd, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) ThrowErrno("cannot write", path);
    bytes = bytes.subspan(static_cast<size_t>(written));
  }
}

std::vector<uint8_t> ReadFileBytes(const fs::path& path, uint64_t max_bytes) {
  // Without O_NONBLOCK the open of a pipe would wait for a writer.
  const FileDescriptor file(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (file.get() < 0) ThrowErrno("cannot read", path);
  struct stat info {};
  if (fstat(file.get(), &info) != 0) ThrowErrno("cannot read", path);
  if (!S_ISREG(info.st_mode)) {
    throw StatusError(StatusCode::kUnavailable,
                      fmt::format("cannot read {}: not a regular file", path.string()));
  }
  const auto size = static_cast<uint64_t>(info.st_size);
  if (size > max_bytes) {
    throw StatusError(StatusCode::kCorrupt, fmt::format("{}: expected at most {} bytes, found {}",
                                                        path.string(), max_bytes, size));
  }
  std::vector<uint8_t> bytes(size);
  size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t got = read(file.get(), bytes.data() + done, bytes.size() - done);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) ThrowErrno("cannot read", path);
    if (got == 0) break;
    done += static_cast<size_t>(got);
  }
  bytes.resize(done);
  return bytes;
}

void WriteFileAtomically(const fs::path& link, std::span<const uint8_t> bytes) {
  const fs::path path = Followed(link);
  const fs::path folder = FolderOf(path);
  TemporaryFile file(folder, path.filename().string());
  file.Write(bytes);
  file.RenameTo(path);
  // Best effort: some file systems refuse to flush a folder, and the file itself is safe.
  if (const FileDescriptor dir(open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
      dir.get() >= 0) {
    fsync(dir.get());
  }
}

void WriteResult(const fs::path& path, std::span<const uint8_t> bytes) {
  if (const std::optional<int> open_file = DescriptorOf(path)) {
    std::fflush(nullptr);
    return WriteAll(*open_file, bytes, path);
  }
  if (!IsSpecial(path)) return WriteFileAtomically(path, bytes);
  const FileDescriptor file(open(path.c_str(), O_WRONLY | O_CLOEXEC | O_NOCTTY));
  if (file.get() < 0) ThrowErrno("cannot write to", path);
  WriteAll(file.get(), bytes, path);
}

void RequireWritableResult(const fs::path& path) {
  if (const std::optional<int> open_file = DescriptorOf(path)) {
    const int flags = fcntl(*open_file, F_GETFL);
    if (flags >= 0 && (flags & O_ACCMODE) != O_RDONLY) return;
    if (flags >= 0) errno = EBADF;
    ThrowErrno("cannot write to", path);
  }
  if (IsSpecial(path)) {
    // Not opened: a pipe would wait for its reader.
    errno = EISDIR;
    if (fs::is_directory(path) || access(path.c_str(), W_OK) != 0) {
      ThrowErrno("cannot write to", path);
    }
    return;
  }
  const TemporaryFile probe(FolderOf(Followed(path)), "probe");
}

void WriteFileAtomically(const fs::path& path, std::string_view text) {
  WriteFileAtomically(path, BytesOf(text));
}

void WriteResult(const fs::path& path, std::string_view text) { WriteResult(path, BytesOf(text)); }

bool IsTemporaryName(const std::string& name) { return name.starts_with(kTemporaryMark); }

void RequireWritableFolder(const fs::path& folder, const std::string& remedy) {
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) {
    throw StatusError(StatusCode::kUnavailable,
                      fmt::format("cannot create the folder {}: {}; {}", folder.string(),
                                  error.message(), remedy));
  }
  try {
    TemporaryFile probe(folder, "probe");
  } catch (const StatusError& error) {
    throw StatusError(error.code(), fmt::format("{}; {}", error.what(), remedy));
  }
}

}  // namespace cddp

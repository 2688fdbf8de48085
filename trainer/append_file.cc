#include "trainer/append_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>

#include "cddp/status.h"

namespace cddp {

AppendFile::AppendFile(const std::filesystem::path& path)
    : path_(path), fd_(open(path.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0644)) {
  if (fd_ < 0) Throw("opened");
}

AppendFile::~AppendFile() { close(fd_); }

void AppendFile::Append(std::string_view record) {
  while (!record.empty()) {
    const ssize_t written = write(fd_, record.data(), record.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) Throw("written");
    record.remove_prefix(static_cast<size_t>(written));
  }
}

void AppendFile::CutTornLine() {
  off_t end = lseek(fd_, 0, SEEK_END);
  if (end < 0) Throw("read");
  off_t whole = end;
  char bytes[4096];
  while (whole > 0) {
    const off_t begin = std::max<off_t>(0, whole - off_t{sizeof bytes});
    const ssize_t count = pread(fd_, bytes, static_cast<size_t>(whole - begin), begin);
    if (count <= 0) Throw("read");
    const std::string_view text(bytes, static_cast<size_t>(count));
    const size_t line_end = text.rfind('\n');
    if (line_end != std::string_view::npos) {
      whole = begin + static_cast<off_t>(line_end) + 1;
      break;
    }
    whole = begin;
  }
  if (whole < end && ftruncate(fd_, whole) != 0) Throw("cut");
}

void AppendFile::Throw(const char* what) const {
  throw StatusError(StatusCode::kUnavailable,
                    fmt::format("{} cannot be {}: {}", path_.string(), what,
                                std::generic_category().message(errno)));
}

}  // namespace cddp

// AppendFile: a file that only grows, by whole records.
//
// One thread, one writer of a file.
#pragma once

#include <filesystem>
#include <string_view>

namespace cddp {

class AppendFile {
 public:
  // Makes the file where it is missing. Throws StatusError(kUnavailable), here and below.
  explicit AppendFile(const std::filesystem::path& path);
  ~AppendFile();
  AppendFile(const AppendFile&) = delete;
  AppendFile& operator=(const AppendFile&) = delete;

  // Hands `record` to the system before it returns: it stays when this process is killed,
  // then or later. Killed meanwhile, or with a full disk, a part of it may be there.
  void Append(std::string_view record);

  // Cuts off what stands behind the last line end: a line that was torn by a kill.
  void CutTornLine();

 private:
  [[noreturn]] void Throw(const char* what) const;

  std::filesystem::path path_;
  int fd_;
};

}  // namespace cddp

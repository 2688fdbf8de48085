// AppendFile: a file that only grows, by whole records.
//
// One thread, one writer of a file.
#pragma once

#include <filesystem>
#include <string_view>

#include "ddp/file_descriptor.h"

namespace cddp {

class AppendFile {
 public:
  // Makes the file where it is missing. Throws StatusError(kUnavailable), here and below.
  explicit AppendFile(const std::filesystem::path& path);

  // Hands `record` to the system before it returns: it stays when this process is killed,
  // then or later. Killed meanwhile, a part of it may be there. What cannot be written whole
  // is cut off again.
  void Append(std::string_view record);

 private:
  std::filesystem::path path_;
  FileDescriptor file_;
};

}  // namespace cddp

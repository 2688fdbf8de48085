#include "trainer/append_file.h"

#include <fcntl.h>
#include <unistd.h>

#include "cddp/status.h"
#include "trainer/data/file_bytes.h"

namespace cddp {

AppendFile::AppendFile(const std::filesystem::path& path)
    : path_(path), file_(open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644)) {
  if (file_.get() < 0) ThrowErrno("cannot open", path);
}

void AppendFile::Append(std::string_view record) {
  const off_t end = lseek(file_.get(), 0, SEEK_END);
  try {
    WriteAll(file_.get(), {reinterpret_cast<const uint8_t*>(record.data()), record.size()}, path_);
  } catch (const StatusError&) {
    [[maybe_unused]] const int ignored = ftruncate(file_.get(), end);  // a device has no end
    throw;
  }
}

}  // namespace cddp

#include "trainer/data/folder_lock.h"

#include <fcntl.h>
#include <sys/file.h>

#include <cerrno>

namespace cddp {

FolderLock::FolderLock(const std::filesystem::path& folder, const std::function<void()>& on_wait)
    : folder_(open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)) {
  int result = flock(folder_.get(), LOCK_EX | LOCK_NB);
  if (result != 0 && errno == EWOULDBLOCK) {
    on_wait();
    do {
      result = flock(folder_.get(), LOCK_EX);
    } while (result != 0 && errno == EINTR);
  }
  held_ = result == 0;
}

}  // namespace cddp

#include "trainer/data/tar_archive.h"

#include <archive.h>
#include <archive_entry.h>
#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <string>
#include <system_error>
#include <vector>

#include "cddp/status.h"
#include "trainer/data/file_bytes.h"

namespace cddp {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void Refuse(const std::string& why) {
  throw StatusError(StatusCode::kCorrupt, fmt::format("the archive {}; none of it is used", why));
}

// What libarchive says, or if that is nothing, `otherwise`.
[[noreturn]] void RefuseUnreadable(archive* from, const char* otherwise) {
  const char* said = archive_error_string(from);
  Refuse(fmt::format("cannot be read: {}", said != nullptr ? said : otherwise));
}

std::string Printable(std::string name) {
  std::ranges::replace_if(
      name, [](unsigned char c) { return c < 0x20 || c >= 0x7f; }, '?');
  return name.substr(0, 200);
}

// Where an entry belongs, relative to the folder.
fs::path PlaceOf(archive_entry* entry) {
  const char* said = archive_entry_pathname(entry);
  if (said == nullptr) Refuse("has a name that is no text");
  const std::string name = Printable(said);
  const fs::path place = fs::path(said).lexically_normal();
  if (place.is_absolute() || std::ranges::find(place, "..") != place.end()) {
    Refuse(fmt::format("holds \"{}\", which leads out of the folder", name));
  }
  if (std::distance(place.begin(), place.end()) > kMaxArchiveDepth) {
    Refuse(fmt::format("holds more than {} folders in each other", kMaxArchiveDepth));
  }
  return place;
}

void WriteEntry(archive* from, uint64_t bytes, const fs::path& path) {
  std::vector<uint8_t> content(bytes);
  size_t done = 0;
  while (done < bytes) {
    const la_ssize_t count = archive_read_data(from, content.data() + done, bytes - done);
    if (count <= 0) RefuseUnreadable(from, "a file is cut short");
    done += static_cast<size_t>(count);
  }
  try {
    fs::create_directories(path.parent_path());
  } catch (const fs::filesystem_error& error) {
    throw StatusError(StatusCode::kUnavailable, error.what());
  }
  WriteFileAtomically(path, content);
}

}  // namespace

void UnpackTarGz(std::span<const uint8_t> archive_bytes, const fs::path& folder,
                 uint64_t max_bytes) {
  const std::unique_ptr<archive, decltype(&archive_read_free)> from(archive_read_new(),
                                                                    &archive_read_free);
  if (!from) throw StatusError(StatusCode::kInternal, "libarchive could not start: out of memory");
  archive_read_support_filter_gzip(from.get());
  archive_read_support_format_tar(from.get());
  if (archive_read_open_memory(from.get(), archive_bytes.data(), archive_bytes.size()) !=
      ARCHIVE_OK) {
    RefuseUnreadable(from.get(), "it is no .tar.gz");
  }

  uint64_t left = max_bytes;
  archive_entry* entry = nullptr;
  for (int entries = 0;; ++entries) {
    const int result = archive_read_next_header(from.get(), &entry);
    if (result == ARCHIVE_EOF) return;
    if (result < ARCHIVE_WARN) RefuseUnreadable(from.get(), "it is no .tar.gz");
    if (entries == kMaxArchiveEntries) {
      Refuse(fmt::format("holds more than {} files and folders", kMaxArchiveEntries));
    }
    const fs::path place = PlaceOf(entry);
    const bool is_link =
        archive_entry_hardlink(entry) != nullptr || archive_entry_symlink(entry) != nullptr;
    const auto type = archive_entry_filetype(entry);
    if (is_link || (type != AE_IFREG && type != AE_IFDIR)) {
      Refuse(fmt::format("holds \"{}\", which is neither a file nor a folder",
                         Printable(place.string())));
    }
    // Before any of it is decoded.
    const auto bytes = static_cast<uint64_t>(archive_entry_size(entry));
    if (bytes > left) Refuse(fmt::format("holds more than {} bytes", max_bytes));
    left -= bytes;
    if (type == AE_IFREG) WriteEntry(from.get(), bytes, folder / place);
  }
}

}  // namespace cddp

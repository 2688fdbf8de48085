// Unpacking archives that came from a network (libarchive).
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>

namespace cddp {

// Most bytes that the files of an archive may have together. The largest of the catalog's archives
// holds 185 MB.
inline constexpr uint64_t kMaxUnpackedBytes = uint64_t{512} << 20;

// Most files and folders of an archive, and most folders around a file.
inline constexpr int kMaxArchiveEntries = 10'000;
inline constexpr int kMaxArchiveDepth = 16;

// Writes the files of a .tar.gz into `folder`, which exists and is empty, and nothing else
// anywhere, whatever the archive says. Needs memory for its largest file.
//
// Throws StatusError; what `folder` holds then is not to be used:
//   kCorrupt for what is no .tar.gz or is cut short; for an absolute name or one with "..", a link
//     or a device; for more files, bytes or depth than is allowed;
//   kUnavailable when a file cannot be written.
// Thread safety: any thread. Blocks, seconds at most for each 100 MB.
void UnpackTarGz(std::span<const uint8_t> archive, const std::filesystem::path& folder,
                 uint64_t max_bytes = kMaxUnpackedBytes);

}  // namespace cddp

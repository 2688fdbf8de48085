// Unpacking archives that came from a network.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>

namespace cddp {

// Most bytes that the files of an archive may have together, and the archive itself decoded. The
// largest of the catalog's archives decodes to 185 MB.
inline constexpr uint64_t kMaxUnpackedBytes = uint64_t{512} << 20;

// Unpacks a .tar.gz into `folder`, which exists and is empty; anything else is neither written nor
// read, whatever the archive says. Needs memory for the decoded archive.
//
// Throws StatusError; what `folder` holds then is not to be used:
//   kCorrupt if the bytes are no gzip or decode to more than `max_bytes`, if something in the
//     archive is neither a file nor a folder (a link, a device), or if the files would have more
//     than `max_bytes` together;
//   kUnavailable if tar (GNU) is missing or refuses: what is no archive, is cut short, or names
//     something outside of `folder`.
// Thread safety: any thread. Blocks, seconds at most for each 100 MB.
void UnpackTarGz(std::span<const uint8_t> archive, const std::filesystem::path& folder,
                 uint64_t max_bytes = kMaxUnpackedBytes);

}  // namespace cddp

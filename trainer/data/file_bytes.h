// Whole files as bytes: bounded reading, and writing that is all or nothing.
//
// Thread safety: any thread, any process; writers of one path do not disturb
// each other, the last one to finish wins.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace cddp {

// How the names of files and folders begin that are not whole yet; those of a writer that was
// killed stay behind.
inline constexpr const char* kTemporaryMark = ".cddp-part-";

// Throws StatusError(kUnavailable): `what`, `path`, and what errno says.
[[noreturn]] void ThrowErrno(const std::string& what, const std::filesystem::path& path);

// Writes all of `bytes` to the open file `fd`; `path` is for messages. Throws
// StatusError(kUnavailable).
void WriteAll(int fd, std::span<const uint8_t> bytes, const std::filesystem::path& path);

// The bytes of a regular file. Throws StatusError: kUnavailable if it is missing
// or cannot be read, kCorrupt if it is larger than `max_bytes` (nothing is read
// then).
std::vector<uint8_t> ReadFileBytes(const std::filesystem::path& path, uint64_t max_bytes);

// Makes `bytes` the content of `path`: written to a temporary file of a unique
// name beside it, flushed to the disk, then renamed. A reader sees the old
// content or the new one, never a part, also after a crash. The folder must
// exist. Symbolic links stay: what they point to is replaced. Throws
// StatusError(kUnavailable) and leaves `path` as it was on failure.
void WriteFileAtomically(const std::filesystem::path& path, std::span<const uint8_t> bytes);
void WriteFileAtomically(const std::filesystem::path& path, std::string_view text);

// Whether `name` (a file name without folder) is one that WriteFileAtomically
// gives to its temporary files; one of a writer that was killed stays behind.
bool IsTemporaryName(const std::string& name);

// Writes `bytes` as a result for the user: into what is at `path` when that is a
// device, a pipe or the like, or when it names an open file (/dev/stdout, /dev/fd/N); as
// WriteFileAtomically otherwise. Throws StatusError(kUnavailable).
void WriteResult(const std::filesystem::path& path, std::span<const uint8_t> bytes);
void WriteResult(const std::filesystem::path& path, std::string_view text);

// Throws StatusError(kUnavailable) when WriteResult could not write to `path`. Its
// folder must exist. Writes nothing.
void RequireWritableResult(const std::filesystem::path& path);

// Creates `folder` with its parents where missing and tries a file in it. Throws
// StatusError(kUnavailable) saying what stands in the way and then `remedy`.
void RequireWritableFolder(const std::filesystem::path& folder,
                           const std::string& remedy = "choose a data folder that can be written");

}  // namespace cddp

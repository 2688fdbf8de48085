// Decoding of gzip bytes in memory (zlib).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace cddp {

// Whether the bytes begin with the two-byte gzip signature.
bool IsGzip(std::span<const uint8_t> bytes);

// Decodes exactly one gzip member. `max_output_bytes` bounds the decoded size,
// and with it the memory used, whatever the input claims; `origin` names the
// input in error messages.
//
// Throws StatusError(kCorrupt) if the bytes are no gzip, end too early, fail
// their checksum, decode to more than the bound, or go on after the member.
// Thread safety: any thread.
std::vector<uint8_t> Gunzip(std::span<const uint8_t> compressed, size_t max_output_bytes,
                            const std::string& origin);

}  // namespace cddp

// SHA-256 of bytes in memory (OpenSSL EVP).
#pragma once

#include <cstdint>
#include <span>
#include <string>

namespace cddp {

// The digest as 64 lower-case hexadecimal digits. Throws StatusError(kInternal)
// if OpenSSL offers no SHA-256. Thread safety: any thread.
std::string Sha256Hex(std::span<const uint8_t> bytes);

}  // namespace cddp

#include "trainer/data/sha256.h"

#include <fmt/format.h>
#include <openssl/evp.h>

#include <array>

#include "cddp/status.h"

namespace cddp {

std::string Sha256Hex(std::span<const uint8_t> bytes) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest;
  unsigned int digest_size = 0;
  if (EVP_Digest(bytes.data(), bytes.size(), digest.data(), &digest_size, EVP_sha256(), nullptr) !=
      1) {
    throw StatusError(StatusCode::kInternal, "OpenSSL refused to compute a SHA-256 digest");
  }
  std::string hex;
  hex.reserve(size_t{2} * digest_size);
  for (unsigned int i = 0; i < digest_size; ++i) {
    fmt::format_to(std::back_inserter(hex), "{:02x}", digest[i]);
  }
  return hex;
}

}  // namespace cddp

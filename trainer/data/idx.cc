#include "trainer/data/idx.h"

#include <fmt/format.h>

#include <array>

#include "cddp/status.h"

namespace cddp {
namespace {

constexpr size_t kWordBytes = 4;

[[noreturn]] void ThrowCorruptIdx(const std::string& origin, const std::string& why) {
  throw StatusError(StatusCode::kCorrupt, fmt::format("{}: not a valid IDX file: {}", origin, why));
}

uint32_t ReadBigEndian(std::span<const uint8_t> bytes, size_t word) {
  const uint8_t* p = bytes.data() + word * kWordBytes;
  return uint32_t{p[0]} << 24 | uint32_t{p[1]} << 16 | uint32_t{p[2]} << 8 | uint32_t{p[3]};
}

template <size_t kDimensions>
struct IdxArray {
  std::array<uint32_t, kDimensions> sizes;
  std::span<const uint8_t> payload;
};

template <size_t kDimensions>
IdxArray<kDimensions> ParseIdx(std::span<const uint8_t> bytes, uint32_t magic, const char* kind,
                               const std::string& origin) {
  constexpr size_t kHeaderBytes = (1 + kDimensions) * kWordBytes;
  if (bytes.size() < kHeaderBytes) {
    ThrowCorruptIdx(origin, fmt::format("the header of an {} file has {} bytes, the file has {}",
                                        kind, kHeaderBytes, bytes.size()));
  }
  if (const uint32_t found = ReadBigEndian(bytes, 0); found != magic) {
    ThrowCorruptIdx(origin, fmt::format("expected the magic number 0x{:08x} of an {} file, found "
                                        "0x{:08x}",
                                        magic, kind, found));
  }

  IdxArray<kDimensions> array;
  uint64_t payload_bytes = 1;
  for (size_t d = 0; d < kDimensions; ++d) {
    const uint32_t size = ReadBigEndian(bytes, 1 + d);
    if (size == 0) ThrowCorruptIdx(origin, fmt::format("dimension {} has size 0", d));
    // Both factors are below 2^33 here, so a bounded product cannot wrap unseen.
    if (payload_bytes > kMaxIdxPayloadBytes / size) {
      ThrowCorruptIdx(origin,
                      fmt::format("the header claims more than {} bytes of data (dimension {} "
                                  "has size {})",
                                  kMaxIdxPayloadBytes, d, size));
    }
    payload_bytes *= size;
    array.sizes[d] = size;
  }

  const uint64_t expected = kHeaderBytes + payload_bytes;
  if (bytes.size() < expected) {
    ThrowCorruptIdx(origin,
                    fmt::format("cut short: expected {} bytes, found {}", expected, bytes.size()));
  }
  if (bytes.size() > expected) {
    ThrowCorruptIdx(
        origin, fmt::format("trailing bytes: expected {} bytes, found {}", expected, bytes.size()));
  }
  array.payload = bytes.subspan(kHeaderBytes);
  return array;
}

}  // namespace

IdxImages ParseIdxImages(std::span<const uint8_t> bytes, const std::string& origin) {
  const auto array = ParseIdx<3>(bytes, kIdxImagesMagic, "IDX image", origin);
  return {
      array.sizes[0], array.sizes[1], array.sizes[2], {array.payload.begin(), array.payload.end()}};
}

IdxLabels ParseIdxLabels(std::span<const uint8_t> bytes, const std::string& origin) {
  const auto array = ParseIdx<1>(bytes, kIdxLabelsMagic, "IDX label", origin);
  return {array.sizes[0], {array.payload.begin(), array.payload.end()}};
}

}  // namespace cddp

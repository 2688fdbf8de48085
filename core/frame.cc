#include "cddp/frame.h"

#include <fmt/format.h>
#include <xxhash.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

namespace cddp {
namespace {

static_assert(std::endian::native == std::endian::little, "frames are copied in host order");

constexpr uint32_t kMagic = 0x46444443;  // "CDDF"
constexpr uint8_t kVersion = 1;
constexpr uint8_t kIndexRaw32 = 0;
constexpr uint8_t kValueFp32 = 0;
constexpr uint8_t kFlagNonFinite = 1;
constexpr size_t kChecksumOffset = 32;

struct Header {
  uint32_t magic;
  uint8_t version;
  uint8_t index_codec;
  uint8_t value_codec;
  uint8_t flags;
  uint64_t step;
  uint16_t bucket;
  uint16_t rank;
  uint32_t elements;
  uint32_t entries;
  uint32_t payload_bytes;
  uint64_t checksum;
};
static_assert(sizeof(Header) == kFrameHeaderBytes);
static_assert(offsetof(Header, checksum) == kChecksumOffset);

uint64_t Checksum(std::span<const std::byte> frame) {
  const uint64_t seed = XXH3_64bits(frame.data(), kChecksumOffset);
  return XXH3_64bits_withSeed(frame.data() + kFrameHeaderBytes, frame.size() - kFrameHeaderBytes,
                              seed);
}

Header ReadHeader(std::span<const std::byte> bytes) {
  Header header;
  std::memcpy(&header, bytes.data(), sizeof(header));
  return header;
}

// What every complaint about a frame ends with.
Status BadFrame(const FrameId& expected, const std::string& what) {
  return Status::Corrupt(fmt::format("frame of rank {}, step {}, bucket {}: {}", expected.rank,
                                     expected.step, expected.bucket, what));
}

}  // namespace

size_t MaxFrameBytes(size_t entries) {
  return kFrameHeaderBytes + entries * (sizeof(uint32_t) + sizeof(float));
}

Status EncodeFrame(const FrameId& id, bool non_finite, Selection* selection,
                   std::vector<std::byte>* out) {
  constexpr uint32_t kMax16 = std::numeric_limits<uint16_t>::max();
  const size_t bytes = MaxFrameBytes(selection->size());
  if (id.bucket > kMax16 || id.rank > kMax16) {
    return Status::InvalidArgument(
        fmt::format("a frame numbers buckets and ranks up to {}, got bucket {} of rank {}", kMax16,
                    id.bucket, id.rank));
  }
  if (bytes - kFrameHeaderBytes > std::numeric_limits<uint32_t>::max()) {
    return Status::InvalidArgument(fmt::format(
        "{} entries do not fit a frame of 4 GiB; use smaller buckets", selection->size()));
  }
  const Header header{.magic = kMagic,
                      .version = kVersion,
                      .index_codec = kIndexRaw32,
                      .value_codec = kValueFp32,
                      .flags = non_finite ? kFlagNonFinite : uint8_t{0},
                      .step = id.step,
                      .bucket = static_cast<uint16_t>(id.bucket),
                      .rank = static_cast<uint16_t>(id.rank),
                      .elements = id.elements,
                      .entries = static_cast<uint32_t>(selection->size()),
                      .payload_bytes = static_cast<uint32_t>(bytes - kFrameHeaderBytes),
                      .checksum = 0};
  const size_t stream_bytes = selection->size() * sizeof(uint32_t);
  out->resize(bytes);
  std::memcpy(out->data(), &header, sizeof(header));
  if (stream_bytes > 0) {
    std::byte* payload = out->data() + kFrameHeaderBytes;
    std::memcpy(payload, selection->indices.data(), stream_bytes);
    std::memcpy(payload + stream_bytes, selection->values.data(), stream_bytes);
  }
  const uint64_t checksum = Checksum(*out);
  std::memcpy(out->data() + kChecksumOffset, &checksum, sizeof(checksum));
  return Status::Ok();
}

Status FrameLength(std::span<const std::byte> bytes, size_t* length) {
  if (bytes.size() < kFrameHeaderBytes) {
    return Status::Corrupt(
        fmt::format("a frame has at least {} bytes, got {}", kFrameHeaderBytes, bytes.size()));
  }
  const Header header = ReadHeader(bytes);
  if (header.magic != kMagic) {
    return Status::Corrupt(
        fmt::format("a frame starts with magic {:#010x}, got {:#010x}", kMagic, header.magic));
  }
  if (header.version != kVersion) {
    return Status::Corrupt(
        fmt::format("frame version {} expected, got {}", kVersion, header.version));
  }
  *length = kFrameHeaderBytes + size_t{header.payload_bytes};
  if (*length > bytes.size()) {
    return Status::Corrupt(
        fmt::format("a frame of {} bytes in a buffer of {}", *length, bytes.size()));
  }
  return Status::Ok();
}

Status ValidateFrame(std::span<const std::byte> frame, const FrameId& expected, size_t max_entries,
                     FrameView* view) {
  size_t length = 0;
  if (Status status = FrameLength(frame, &length); !status.ok()) {
    return BadFrame(expected, status.message());
  }
  if (length != frame.size()) {
    return BadFrame(expected,
                    fmt::format("{} bytes expected from its header, got {}", length, frame.size()));
  }
  const Header header = ReadHeader(frame);
  if (const uint64_t checksum = Checksum(frame); checksum != header.checksum) {
    return BadFrame(expected, fmt::format("checksum {:#018x} computed, {:#018x} in the header",
                                          checksum, header.checksum));
  }
  const auto field = [&](const char* name, uint64_t want, uint64_t got) {
    if (want == got) return Status::Ok();
    return BadFrame(expected, fmt::format("{} {} expected, got {}", name, want, got));
  };
  CDDP_RETURN_IF_ERROR(field("index codec", kIndexRaw32, header.index_codec));
  CDDP_RETURN_IF_ERROR(field("value codec", kValueFp32, header.value_codec));
  CDDP_RETURN_IF_ERROR(field("unknown flags", 0, header.flags & ~unsigned{kFlagNonFinite}));
  CDDP_RETURN_IF_ERROR(field("step", expected.step, header.step));
  CDDP_RETURN_IF_ERROR(field("bucket", expected.bucket, header.bucket));
  CDDP_RETURN_IF_ERROR(field("rank", expected.rank, header.rank));
  CDDP_RETURN_IF_ERROR(field("elements", expected.elements, header.elements));
  CDDP_RETURN_IF_ERROR(
      field("length", MaxFrameBytes(header.entries) - kFrameHeaderBytes, header.payload_bytes));
  const bool non_finite = (header.flags & kFlagNonFinite) != 0;
  if (non_finite && header.entries != 0) {
    return BadFrame(expected,
                    fmt::format("a non-finite frame has no entries, got {}", header.entries));
  }
  if (header.entries > max_entries) {
    return BadFrame(
        expected, fmt::format("at most {} entries expected, got {}", max_entries, header.entries));
  }
  const size_t stream_bytes = size_t{header.entries} * sizeof(uint32_t);
  const FrameView checked{.id = expected,
                          .non_finite = non_finite,
                          .entries = header.entries,
                          .indices = frame.subspan(kFrameHeaderBytes, stream_bytes),
                          .values = frame.subspan(kFrameHeaderBytes + stream_bytes, stream_bytes)};
  int64_t previous = -1;
  for (uint32_t i = 0; i < checked.entries; ++i) {
    uint32_t index;
    float value;
    std::memcpy(&index, checked.indices.data() + i * sizeof(index), sizeof(index));
    std::memcpy(&value, checked.values.data() + i * sizeof(value), sizeof(value));
    if (int64_t{index} <= previous || index >= header.elements) {
      return BadFrame(expected,
                      fmt::format("index {} of entry {} after index {} in a bucket of {} elements",
                                  index, i, previous, header.elements));
    }
    if (!std::isfinite(value)) {
      return BadFrame(expected, fmt::format("value of entry {} is {}", i, value));
    }
    previous = index;
  }
  *view = checked;
  return Status::Ok();
}

void DecodeAdd(const FrameView& view, std::span<float> dense) {
  for (uint32_t i = 0; i < view.entries; ++i) {
    uint32_t index;
    float value;
    std::memcpy(&index, view.indices.data() + i * sizeof(index), sizeof(index));
    std::memcpy(&value, view.values.data() + i * sizeof(value), sizeof(value));
    dense[index] += value;
  }
}

}  // namespace cddp

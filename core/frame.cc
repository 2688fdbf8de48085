#include "cddp/frame.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <xxhash.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>
#include <utility>

#include "core/frame_layout.h"
#include "core/index_codec.h"
#include "core/runs.h"
#include "core/value_codec.h"

namespace cddp {
namespace {

constexpr std::array kIndexFormats = {std::pair{"auto", IndexFormat::kAuto},
                                      std::pair{"rice", IndexFormat::kRice},
                                      std::pair{"bitmap", IndexFormat::kBitmap},
                                      std::pair{"rice-absent", IndexFormat::kRiceAbsent},
                                      std::pair{"rice-blocks", IndexFormat::kRiceBlocks},
                                      std::pair{"raw32", IndexFormat::kRaw32}};
constexpr std::array kValueFormats = {
    std::pair{"fp32", ValueFormat::kFp32}, std::pair{"bf16", ValueFormat::kBf16},
    std::pair{"fp16", ValueFormat::kFp16}, std::pair{"int8", ValueFormat::kInt8},
    std::pair{"int4", ValueFormat::kInt4}, std::pair{"sign", ValueFormat::kSign}};

template <typename Table>
std::vector<std::string> Names(const Table& table) {
  std::vector<std::string> names;
  for (const auto& [name, format] : table) names.emplace_back(name);
  return names;
}

template <typename Table, typename Format>
Status Parse(const char* kind, const Table& table, std::string_view name, Format* format) {
  for (const auto& [known, number] : table) {
    if (name != known) continue;
    *format = number;
    return Status::Ok();
  }
  return Status::InvalidArgument(
      fmt::format("unknown {} \"{}\"; known: {}", kind, name, fmt::join(Names(table), ", ")));
}

// LEB128. Returns what follows.
std::byte* PutVarint(std::byte* out, size_t number) {
  for (; number >= 0x80; number >>= 7) *out++ = static_cast<std::byte>(number | 0x80);
  *out++ = static_cast<std::byte>(number);
  return out;
}

std::byte* PutRuns(std::byte* out, std::span<const size_t> run_ends) {
  size_t begin = 0;
  size_t runs = 0;
  for (size_t end : run_ends) runs += std::exchange(begin, end) < end;
  out = PutVarint(out, runs);
  begin = 0;
  for (size_t end : run_ends) {
    const size_t count = end - std::exchange(begin, end);
    if (count > 0) out = PutVarint(out, count);
  }
  return out;
}

// Of a frame that is complete but for it.
void PutHeader(const FrameFormat& format, const FrameId& id, bool non_finite, size_t entries,
               std::vector<std::byte>* frame) {
  const FrameHeader header{
      .magic = kMagic,
      .version = kVersion,
      .index_format = static_cast<uint8_t>(format.indices),
      .value_format = static_cast<uint8_t>(format.values),
      .flags =
          static_cast<uint8_t>((non_finite ? kFlagNonFinite : 0) | (id.of_owner ? kFlagOwner : 0)),
      .step = id.step,
      .bucket = static_cast<uint16_t>(id.bucket),
      .rank = static_cast<uint16_t>(id.rank),
      .elements = id.elements,
      .entries = static_cast<uint32_t>(entries),
      .payload_bytes = static_cast<uint32_t>(frame->size() - kFrameHeaderBytes),
      .checksum = 0};
  std::memcpy(frame->data(), &header, sizeof(header));
  const uint64_t checksum = FrameChecksum(*frame);
  std::memcpy(frame->data() + kChecksumOffset, &checksum, sizeof(checksum));
}

}  // namespace

std::vector<std::string> IndexFormatNames() { return Names(kIndexFormats); }
std::vector<std::string> ValueFormatNames() { return Names(kValueFormats); }

std::string IndexFormatName(IndexFormat format) {
  for (const auto& [name, known] : kIndexFormats) {
    if (known == format) return name;
  }
  return {};
}

Status ParseIndexFormat(std::string_view name, IndexFormat* format) {
  return Parse("index codec", kIndexFormats, name, format);
}

Status ParseValueFormat(std::string_view name, ValueFormat* format) {
  return Parse("value codec", kValueFormats, name, format);
}

size_t MaxFrameBytes(const FrameFormat& format, uint32_t elements, size_t entries, size_t runs) {
  runs = std::min(runs, entries);
  const size_t blocks = MaxBlocks(entries, runs);
  // Another codec is chosen only where it is expected to be smaller than rice: bitmap and
  // raw32 then are, and rice-absent codes fewer gaps than there are entries, for which
  // the bound is lower.
  const IndexCodec& codec =
      format.indices == IndexFormat::kAuto ? RiceCodec() : *IndexCodecOf(format.indices);
  const size_t index_bytes = codec.MaxBytes(entries, elements, blocks);
  const ValueCodec& values = *ValueCodecOf(format.values);
  // Blocks that are not full take most: a whole number of bytes and a scale for each.
  const size_t value_bytes = blocks * values.BlockBytes(1) +
                             (entries - blocks) * values.BlockBytes(kBlockEntries) / kBlockEntries +
                             blocks;
  return kFrameHeaderBytes + kMaxVarintBytes * (runs + 1) + index_bytes + value_bytes +
         IndexCodec::kSlack;
}

Status CheckFrameLimits(const FrameFormat& format, const FrameId& id, size_t entries, size_t runs) {
  constexpr uint32_t kMax16 = std::numeric_limits<uint16_t>::max();
  if (id.bucket > kMax16 || id.rank > kMax16) {
    return Status::InvalidArgument(
        fmt::format("a frame numbers buckets and ranks up to {}, got bucket {} of rank {}", kMax16,
                    id.bucket, id.rank));
  }
  const size_t most = MaxFrameBytes(format, id.elements, entries, runs);
  if (most - kFrameHeaderBytes > std::numeric_limits<uint32_t>::max()) {
    return Status::InvalidArgument(
        fmt::format("{} entries may not fit a frame of 4 GiB; use smaller buckets", entries));
  }
  return Status::Ok();
}

Status EncodeFrame(const FrameFormat& format, const FrameId& id, std::span<const size_t> run_ends,
                   bool non_finite, Selection* selection, std::vector<std::byte>* out) {
  const size_t entries = selection->size();
  if (entries > 0 && selection->indices.back() >= id.elements) {
    return Status::InvalidArgument(
        fmt::format("index {} in a bucket of {} elements", selection->indices.back(), id.elements));
  }
  CDDP_RETURN_IF_ERROR(CheckFrameLimits(format, id, entries, run_ends.size()));
  if (non_finite && entries > 0) {
    return Status::InvalidArgument(
        fmt::format("a non-finite frame has no entries, got {}", entries));
  }
  out->resize(MaxFrameBytes(format, id.elements, entries, run_ends.size()));
  std::byte* const begin = out->data();
  const IndexFormat indices = format.indices == IndexFormat::kAuto
                                  ? SmallestIndexFormat(entries, id.elements)
                                  : format.indices;
  std::byte* end = PutRuns(begin + kFrameHeaderBytes, run_ends);
  end += IndexCodecOf(indices)->Encode({selection->indices, run_ends, id.elements}, end);

  const ValueCodec& values = *ValueCodecOf(format.values);
  Dither dither{.stochastic = format.stochastic, .key = DitherKey(format, id)};
  ForBlocks(run_ends, [&](size_t entry, size_t count) {
    dither.entry = entry;
    values.Encode(std::span(selection->values).subspan(entry, count), dither, end);
    end += values.BlockBytes(count);
  });
  out->resize(static_cast<size_t>(end - begin));
  PutHeader({indices, format.values}, id, non_finite, entries, out);
  return Status::Ok();
}

uint64_t DitherKey(const FrameFormat& format, const FrameId& id) {
  // A rank's own frame and the one that it sends as an owner are rounded independently.
  const uint64_t key[] = {format.seed, id.step, id.bucket, 2 * uint64_t{id.rank} + id.of_owner};
  return format.stochastic ? XXH3_64bits(key, sizeof(key)) : 0;
}

void AssembleFrame(const FrameFormat& format, const FrameId& id, std::span<const size_t> run_ends,
                   std::span<const std::byte> coded, std::vector<std::byte>* out) {
  const size_t entries = run_ends.empty() ? 0 : run_ends.back();
  out->resize(kFrameHeaderBytes + kMaxVarintBytes * (run_ends.size() + 1) + coded.size());
  std::byte* const end = PutRuns(out->data() + kFrameHeaderBytes, run_ends);
  std::memcpy(end, coded.data(), coded.size());
  out->resize(static_cast<size_t>(end - out->data()) + coded.size());
  PutHeader(format, id, /*non_finite=*/false, entries, out);
}

}  // namespace cddp

#include "cddp/frame.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <xxhash.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <utility>

#include "core/index_codec.h"
#include "core/runs.h"
#include "core/value_codec.h"

namespace cddp {
namespace {

static_assert(std::endian::native == std::endian::little, "frames are copied in host order");
static_assert(sizeof(size_t) == 8, "lengths are added up without overflow");

constexpr uint32_t kMagic = 0x46444443;  // "CDDF"
constexpr uint8_t kVersion = 2;
constexpr uint8_t kFlagNonFinite = 1;
constexpr size_t kChecksumOffset = 32;
constexpr size_t kMaxVarintBytes = 5;

constexpr std::array kIndexFormats = {
    std::pair{"auto", IndexFormat::kAuto}, std::pair{"rice", IndexFormat::kRice},
    std::pair{"bitmap", IndexFormat::kBitmap}, std::pair{"rice-absent", IndexFormat::kRiceAbsent},
    std::pair{"raw32", IndexFormat::kRaw32}};
constexpr std::array kValueFormats = {
    std::pair{"fp32", ValueFormat::kFp32}, std::pair{"bf16", ValueFormat::kBf16},
    std::pair{"fp16", ValueFormat::kFp16}, std::pair{"int8", ValueFormat::kInt8},
    std::pair{"int4", ValueFormat::kInt4}, std::pair{"sign", ValueFormat::kSign}};

struct Header {
  uint32_t magic;
  uint8_t version;
  uint8_t index_format;
  uint8_t value_format;
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

// LEB128. Returns what follows.
std::byte* PutVarint(std::byte* out, size_t number) {
  for (; number >= 0x80; number >>= 7) *out++ = static_cast<std::byte>(number | 0x80);
  *out++ = static_cast<std::byte>(number);
  return out;
}

// False when *bytes does not start with a number of at most 35 bits in the fewest bytes.
bool TakeVarint(std::span<const std::byte>* bytes, uint64_t* number) {
  *number = 0;
  for (size_t i = 0; i < std::min(bytes->size(), kMaxVarintBytes); ++i) {
    const auto byte = std::to_integer<uint64_t>((*bytes)[i]);
    *number |= (byte & 0x7f) << (7 * i);
    if (byte >= 0x80) continue;
    *bytes = bytes->subspan(i + 1);
    return byte != 0 || i == 0;
  }
  return false;
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

// The blocks of a validated frame, or of one whose runs are valid.
class BlockSizes {
 public:
  explicit BlockSizes(std::span<const std::byte> runs) : runs_(runs) {
    uint64_t count;
    TakeVarint(&runs_, &count);
  }

  // Entries of the next block; 0 behind the last.
  size_t Next() {
    if (left_ == 0) {
      if (runs_.empty()) return 0;
      TakeVarint(&runs_, &left_);
    }
    const auto count = std::min<size_t>(kBlockEntries, left_);
    left_ -= count;
    return count;
  }

 private:
  std::span<const std::byte> runs_;
  uint64_t left_ = 0;
};

// Why a codec refuses the block of indices that starts with this entry. `last` is the
// index before it.
std::string WhatIsWrong(const IndexCodec& codec, const IndexCursor& cursor,
                        std::span<const uint32_t> block, size_t entry, int64_t last) {
  if (&codec == &Raw32Codec()) {
    for (uint32_t index : block) {
      if (int64_t{index} <= last || index >= cursor.elements) {
        return fmt::format("index {} of entry {} after index {} in a bucket of {} elements", index,
                           entry, last, cursor.elements);
      }
      last = index;
      ++entry;
    }
  }
  const size_t end = entry + block.size() - 1;
  if (cursor.bit > 8 * uint64_t{cursor.bytes.size()}) {
    return fmt::format("length: {} bytes of indices ({}) end within entries {} to {}",
                       cursor.bytes.size(), codec.name(), entry, end);
  }
  if (cursor.last >= int64_t{cursor.elements}) {
    return fmt::format("index {} at entries {} to {} ({}) in a bucket of {} elements", cursor.last,
                       entry, end, codec.name(), cursor.elements);
  }
  return fmt::format("the indices ({}) do not reach entries {} to {} in a bucket of {} elements",
                     codec.name(), entry, end, cursor.elements);
}

// Of a block of values that a codec refuses.
std::string WhatIsWrong(const ValueCodec& codec, const std::byte* block, size_t count,
                        size_t entry) {
  float values[kBlockEntries];
  codec.Decode(block, count, values);
  for (size_t i = 0; i < count; ++i) {
    if (!std::isfinite(values[i])) {
      return fmt::format("value of entry {} is {}", entry + i, values[i]);
    }
  }
  return fmt::format("the values of entries {} to {} ({}) have no such scale or code", entry,
                     entry + count - 1, codec.name());
}

struct Block {
  size_t count = 0;
  uint32_t indices[kBlockEntries];
  float values[kBlockEntries];
};

// Decodes a validated frame block by block.
class BlockReader {
 public:
  explicit BlockReader(const FrameView& view)
      : sizes_(view.runs),
        index_codec_(*IndexCodecOf(view.index_format)),
        value_codec_(*ValueCodecOf(view.value_format)),
        values_(view.values.data()) {
    cursor_.bytes = view.indices;
    cursor_.elements = view.id.elements;
    if (!index_codec_.Start(view.entries, &cursor_)) sizes_ = BlockSizes({});
  }

  // False behind the last block.
  bool Next(Block* block) {
    block->count = sizes_.Next();
    if (block->count == 0) return false;
    // Of a validated frame this cannot fail.
    if (!index_codec_.Next(&cursor_, block->count, block->indices)) {
      block->count = 0;
      return false;
    }
    value_codec_.Decode(values_, block->count, block->values);
    values_ += value_codec_.BlockBytes(block->count);
    return true;
  }

 private:
  BlockSizes sizes_;
  const IndexCodec& index_codec_;
  const ValueCodec& value_codec_;
  IndexCursor cursor_;
  const std::byte* values_;
};

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

Status EncodeFrame(const FrameFormat& format, const FrameId& id, std::span<const size_t> run_ends,
                   bool non_finite, Selection* selection, std::vector<std::byte>* out) {
  constexpr uint32_t kMax16 = std::numeric_limits<uint16_t>::max();
  if (id.bucket > kMax16 || id.rank > kMax16) {
    return Status::InvalidArgument(
        fmt::format("a frame numbers buckets and ranks up to {}, got bucket {} of rank {}", kMax16,
                    id.bucket, id.rank));
  }
  const size_t entries = selection->size();
  if (entries > 0 && selection->indices.back() >= id.elements) {
    return Status::InvalidArgument(
        fmt::format("index {} in a bucket of {} elements", selection->indices.back(), id.elements));
  }
  const size_t most = MaxFrameBytes(format, id.elements, entries, run_ends.size());
  if (most - kFrameHeaderBytes > std::numeric_limits<uint32_t>::max()) {
    return Status::InvalidArgument(
        fmt::format("{} entries may not fit a frame of 4 GiB; use smaller buckets", entries));
  }
  if (non_finite && entries > 0) {
    return Status::InvalidArgument(
        fmt::format("a non-finite frame has no entries, got {}", entries));
  }
  out->resize(most);
  std::byte* const begin = out->data();
  const IndexFormat indices = format.indices == IndexFormat::kAuto
                                  ? SmallestIndexFormat(entries, id.elements)
                                  : format.indices;
  std::byte* end = PutRuns(begin + kFrameHeaderBytes, run_ends);
  end += IndexCodecOf(indices)->Encode({selection->indices, run_ends, id.elements}, end);

  const ValueCodec& values = *ValueCodecOf(format.values);
  const uint64_t key[] = {format.seed, id.step, id.bucket, id.rank};
  Dither dither{.stochastic = format.stochastic,
                .key = format.stochastic ? XXH3_64bits(key, sizeof(key)) : 0};
  ForBlocks(run_ends, [&](size_t entry, size_t count) {
    dither.entry = entry;
    values.Encode(std::span(selection->values).subspan(entry, count), dither, end);
    end += values.BlockBytes(count);
  });
  out->resize(static_cast<size_t>(end - begin));

  const Header header{.magic = kMagic,
                      .version = kVersion,
                      .index_format = static_cast<uint8_t>(indices),
                      .value_format = static_cast<uint8_t>(format.values),
                      .flags = non_finite ? kFlagNonFinite : uint8_t{0},
                      .step = id.step,
                      .bucket = static_cast<uint16_t>(id.bucket),
                      .rank = static_cast<uint16_t>(id.rank),
                      .elements = id.elements,
                      .entries = static_cast<uint32_t>(entries),
                      .payload_bytes = static_cast<uint32_t>(out->size() - kFrameHeaderBytes),
                      .checksum = 0};
  std::memcpy(begin, &header, sizeof(header));
  const uint64_t checksum = Checksum(*out);
  std::memcpy(begin + kChecksumOffset, &checksum, sizeof(checksum));
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
  if (header.flags > kFlagNonFinite) {
    return BadFrame(expected, fmt::format("flags 0 or 1 expected, got {}", header.flags));
  }
  CDDP_RETURN_IF_ERROR(field("step", expected.step, header.step));
  CDDP_RETURN_IF_ERROR(field("bucket", expected.bucket, header.bucket));
  CDDP_RETURN_IF_ERROR(field("rank", expected.rank, header.rank));
  CDDP_RETURN_IF_ERROR(field("elements", expected.elements, header.elements));
  FrameView checked{.id = expected,
                    .non_finite = (header.flags & kFlagNonFinite) != 0,
                    .entries = header.entries,
                    .index_format = static_cast<IndexFormat>(header.index_format),
                    .value_format = static_cast<ValueFormat>(header.value_format),
                    .runs = {},
                    .indices = {},
                    .values = {}};
  const IndexCodec* const index_codec = IndexCodecOf(checked.index_format);
  const ValueCodec* const value_codec = ValueCodecOf(checked.value_format);
  if (index_codec == nullptr) {
    return BadFrame(expected,
                    fmt::format("index codec 0 to 3 expected, got {}", header.index_format));
  }
  if (value_codec == nullptr) {
    return BadFrame(expected,
                    fmt::format("value codec 0 to 5 expected, got {}", header.value_format));
  }
  if (checked.non_finite && header.entries != 0) {
    return BadFrame(expected,
                    fmt::format("a non-finite frame has no entries, got {}", header.entries));
  }
  const size_t most = std::min<size_t>(max_entries, header.elements);
  if (header.entries > most) {
    return BadFrame(expected,
                    fmt::format("at most {} entries expected, got {}", most, header.entries));
  }

  const std::span<const std::byte> payload = frame.subspan(kFrameHeaderBytes);
  std::span<const std::byte> rest = payload;
  uint64_t runs = 0;
  constexpr std::string_view kBadNumber = "is cut off or not in its shortest form";
  if (!TakeVarint(&rest, &runs)) {
    return BadFrame(expected, fmt::format("the number of runs {}", kBadNumber));
  }
  if (runs > header.entries) {
    return BadFrame(expected,
                    fmt::format("at most {} runs expected, got {}", header.entries, runs));
  }
  uint64_t in_runs = 0;
  for (uint64_t run = 0; run < runs; ++run) {
    uint64_t count = 0;
    if (!TakeVarint(&rest, &count)) {
      return BadFrame(expected, fmt::format("the length of run {} {}", run, kBadNumber));
    }
    if (count == 0) {
      return BadFrame(expected, fmt::format("run {} of {} has no entries", run, runs));
    }
    in_runs += count;
  }
  CDDP_RETURN_IF_ERROR(field("entries of all runs", header.entries, in_runs));
  checked.runs = payload.first(payload.size() - rest.size());

  size_t value_bytes = 0;
  BlockSizes sizes(checked.runs);
  for (size_t count; (count = sizes.Next()) > 0;) value_bytes += value_codec->BlockBytes(count);
  if (value_bytes > rest.size()) {
    return BadFrame(expected, fmt::format("length: {} entries have {} bytes of values, got {}",
                                          header.entries, value_bytes, rest.size()));
  }
  checked.indices = rest.first(rest.size() - value_bytes);
  checked.values = rest.subspan(checked.indices.size());

  IndexCursor cursor;
  cursor.bytes = checked.indices;
  cursor.elements = header.elements;
  if (!index_codec->Start(header.entries, &cursor)) {
    return BadFrame(expected,
                    fmt::format("length: {} indices ({}) do not take {} bytes", header.entries,
                                index_codec->name(), checked.indices.size()));
  }
  const std::byte* values = checked.values.data();
  sizes = BlockSizes(checked.runs);
  uint32_t block[kBlockEntries];
  int64_t last = -1;
  size_t entry = 0;
  for (size_t count; (count = sizes.Next()) > 0; entry += count) {
    if (!index_codec->Next(&cursor, count, block)) {
      return BadFrame(expected, WhatIsWrong(*index_codec, cursor, {block, count}, entry, last));
    }
    last = block[count - 1];
    if (!value_codec->Valid(values, count)) {
      return BadFrame(expected, WhatIsWrong(*value_codec, values, count, entry));
    }
    values += value_codec->BlockBytes(count);
  }
  if (!index_codec->Finished(&cursor)) {
    return BadFrame(expected,
                    fmt::format("length: {} indices ({}) end before the last of their {} bytes",
                                header.entries, index_codec->name(), checked.indices.size()));
  }
  *view = checked;
  return Status::Ok();
}

void DecodeAdd(const FrameView& view, std::span<float> dense) {
  BlockReader reader(view);
  // A block is decoded, and fetched into the cache, while the one before is added.
  Block blocks[2];
  Block* current = &blocks[0];
  Block* next = &blocks[1];
  reader.Next(current);
  while (current->count > 0) {
    if (reader.Next(next)) {
      for (size_t i = 0; i < next->count; ++i) __builtin_prefetch(&dense[next->indices[i]], 1);
    }
    for (size_t i = 0; i < current->count; ++i) dense[current->indices[i]] += current->values[i];
    std::swap(current, next);
  }
}

void Decode(const FrameView& view, std::span<uint32_t> indices, std::span<float> values) {
  BlockReader reader(view);
  Block block;
  for (size_t at = 0; reader.Next(&block); at += block.count) {
    std::copy_n(block.indices, block.count, indices.data() + at);
    std::copy_n(block.values, block.count, values.data() + at);
  }
}

void DecodeAt(const FrameView& view, std::span<const uint32_t> indices, std::span<float> values) {
  std::ranges::fill(values.first(indices.size()), 0.0f);
  BlockReader reader(view);
  Block block;
  size_t at = 0;
  while (at < indices.size() && reader.Next(&block)) {
    for (size_t i = 0; i < block.count && at < indices.size();) {
      if (block.indices[i] < indices[at]) {
        ++i;
      } else {
        if (block.indices[i] == indices[at]) values[at] = block.values[i];
        ++at;
      }
    }
  }
}

}  // namespace cddp

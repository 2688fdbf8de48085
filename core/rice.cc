// Golomb-Rice codes of the gaps between indices (Rice 1979; Golomb 1966).
//
// A gap is how many elements lie between an index and the one before. A block has a
// parameter b; a gap g is g >> b zeros, a one, and the b low bits of g. A gap whose
// g >> b reaches the block's escape is so many zeros, and g in the block's width: a far
// outlier costs some tens of bits, not thousands, and no code is longer than 48 bits,
// so that one load of 64 bits decodes any.
//
// A block is of one of two kinds: one where outliers are exceptions, and one for gaps
// of two sizes, small ones within clusters and large ones between them.
//
// Longer than other files: three codecs that share these codes.
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "core/bits.h"
#include "core/index_codec.h"

namespace cddp {
namespace {

constexpr unsigned kParameterBits = 5;
constexpr unsigned kHeadBits = kParameterBits + 1;  // and the kind
constexpr unsigned kWidthBits = 5;                  // of clusters only
constexpr unsigned kMaxParameter = 31;
constexpr unsigned kMaxCodeBits = 48;

struct BlockCode {
  unsigned parameter;
  unsigned escape = 16;
  unsigned width = 32;

  bool clusters() const { return escape == kClustersEscape; }
  unsigned head_bits() const { return clusters() ? kHeadBits + kWidthBits : kHeadBits; }

  static constexpr unsigned kClustersEscape = 4;
  static BlockCode Clusters(unsigned parameter, unsigned width) {
    return {parameter, kClustersEscape, width};
  }
};

// Exact bits of the gaps.
uint32_t Cost(std::span<const uint32_t> gaps, const BlockCode& code) {
  const uint32_t short_bits = 1 + code.parameter;
  const uint32_t escape_bits = code.escape + code.width;
  uint32_t cost = code.head_bits();
  for (uint32_t gap : gaps) {
    const uint32_t quotient = gap >> code.parameter;
    cost += quotient < code.escape ? quotient + short_bits : escape_bits;
  }
  return cost;
}

unsigned ParameterOfMean(uint64_t sum, size_t count) {
  return std::min(static_cast<unsigned>(std::bit_width((sum + count) / count)) - 1, kMaxParameter);
}

// The code with the fewest bits, or nearly. Found by walking down as long as bits become
// fewer from b with 2^b <= mean + 1: for gaps distributed geometrically the best is that
// or the next lower one (Kiely 2004). Where most gaps are far below the mean, there are
// clusters.
BlockCode BestCode(std::span<const uint32_t> gaps, uint64_t sum) {
  BlockCode best{ParameterOfMean(sum, gaps.size())};
  uint32_t cost = Cost(gaps, best);
  while (best.parameter > 0) {
    const uint32_t lower = Cost(gaps, {best.parameter - 1});
    if (lower > cost) break;
    cost = lower;
    --best.parameter;
  }
  const auto mean = static_cast<uint32_t>(sum / gaps.size());
  uint64_t small_sum = 0;
  size_t small = 0;
  for (uint32_t gap : gaps) {
    const bool is_small = gap <= mean;
    small += is_small;
    small_sum += is_small ? gap : 0;
  }
  const unsigned within = ParameterOfMean(small_sum, small);
  if (within + 1 >= best.parameter) return best;
  const auto width = static_cast<unsigned>(std::bit_width(std::ranges::max(gaps)));
  for (unsigned parameter : {within, within + 1}) {
    for (const BlockCode& code : {BlockCode{parameter}, BlockCode::Clusters(parameter, width)}) {
      if (const uint32_t other = Cost(gaps, code); other < cost) {
        cost = other;
        best = code;
      }
    }
  }
  return best;
}

void PutBlock(std::span<const uint32_t> gaps, uint64_t sum, BitWriter* writer) {
  const BlockCode code = BestCode(gaps, sum);
  const unsigned parameter = code.parameter;
  const uint64_t low_bits = (uint64_t{1} << parameter) - 1;
  writer->Put(uint64_t{code.clusters()} << kParameterBits | parameter, kHeadBits);
  if (code.clusters()) writer->Put(code.width - 1, kWidthBits);
  for (uint32_t gap : gaps) {
    const uint32_t quotient = gap >> parameter;
    if (quotient < code.escape) [[likely]] {
      writer->Put(((gap & low_bits) << 1 | 1) << quotient, quotient + 1 + parameter);
    } else {
      writer->Put(uint64_t{gap} << code.escape, code.escape + code.width);
    }
  }
}

// Calls visit(gaps, their sum) for each block.
template <typename Visit>
void ForGaps(const IndexSet& set, Visit visit) {
  uint32_t gaps[kBlockEntries];
  uint32_t next = 0;  // the first index that may come
  ForBlocks(set.run_ends, [&](size_t begin, size_t count) {
    const uint32_t* const indices = set.indices.data() + begin;
    gaps[0] = indices[0] - next;
    for (size_t i = 1; i < count; ++i) gaps[i] = indices[i] - indices[i - 1] - 1;
    const uint64_t sum = uint64_t{indices[count - 1]} + 1 - next - count;
    next = indices[count - 1] + 1;
    visit(std::span<const uint32_t>(gaps, count), sum);
  });
}

// The head of a block, at the start of `word`.
BlockCode TakeHead(uint64_t word) {
  const auto parameter = static_cast<unsigned>(word & ((1u << kParameterBits) - 1));
  if ((word >> kParameterBits & 1) == 0) return {parameter};
  const auto width = static_cast<unsigned>(word >> kHeadBits & ((1u << kWidthBits) - 1));
  return BlockCode::Clusters(parameter, width + 1);
}

// One gap at the start of `word`, which holds at least kMaxCodeBits bits.
struct Gap {
  uint64_t gap;
  unsigned bits;
  bool escaped;
};
Gap TakeGap(uint64_t word, const BlockCode& code) {
  const auto zeros = static_cast<unsigned>(std::countr_zero(word | uint64_t{1} << code.escape));
  if (zeros == code.escape) [[unlikely]] {
    return {word >> code.escape & ((uint64_t{1} << code.width) - 1), code.escape + code.width,
            true};
  }
  const uint64_t low_bits = (uint64_t{1} << code.parameter) - 1;
  return {uint64_t{zeros} << code.parameter | (word >> (zeros + 1) & low_bits),
          zeros + 1 + code.parameter, false};
}

// Reads a block of which all bits are there, whatever they are, and 8 bytes more. Bits
// are shifted out of a word that is filled up again and again, so that no load has to
// be waited for; two codes come from one filling where both are sure to fit.
void TakeBlock(IndexCursor* cursor, size_t count, uint32_t* indices) {
  constexpr unsigned kFilled = 56;
  const std::byte* from = cursor->bytes.data() + cursor->bit / 8;
  uint64_t word = LoadBits(from, cursor->bit % 8);
  unsigned bits = 64 - static_cast<unsigned>(cursor->bit % 8);  // in `word`
  from += sizeof(word);
  int64_t last = cursor->last;
  const auto fill = [&] {
    uint64_t more;
    std::memcpy(&more, from, sizeof(more));
    word |= more << bits;
    from += (63 - bits) / 8;
    bits |= kFilled;
  };
  const auto drop = [&](unsigned dropped) {
    word >>= dropped;
    bits -= dropped;
  };
  const auto take = [&](const Gap& gap, uint32_t* index) {
    drop(gap.bits);
    last += static_cast<int64_t>(gap.gap) + 1;
    *index = static_cast<uint32_t>(last);
  };
  const BlockCode code = TakeHead(word);
  drop(code.head_bits());
  const bool pairs = 2 * (code.escape + code.parameter) <= kFilled;
  for (size_t i = 0; i < count; ++i) {
    fill();
    const Gap first = TakeGap(word, code);
    take(first, indices + i);
    if (!pairs || i + 1 == count || first.escaped) continue;
    const Gap second = TakeGap(word, code);
    if (second.escaped) continue;  // perhaps not all of it is in this filling
    take(second, indices + ++i);
  }
  cursor->bit = 8 * static_cast<uint64_t>(from - cursor->bytes.data()) - bits;
  cursor->last = last;
}

// The same near the end of the bytes, behind which there are zeros.
void TakeLastBlock(IndexCursor* cursor, size_t count, uint32_t* indices) {
  const BlockCode code = TakeHead(LoadBitsChecked(cursor->bytes, cursor->bit));
  cursor->bit += code.head_bits();
  for (size_t i = 0; i < count; ++i) {
    const Gap gap = TakeGap(LoadBitsChecked(cursor->bytes, cursor->bit), code);
    cursor->bit += gap.bits;
    cursor->last += static_cast<int64_t>(gap.gap) + 1;
    indices[i] = static_cast<uint32_t>(cursor->last);
  }
}

// True when they are all below `elements` and no bit was read that is not there.
bool Take(IndexCursor* cursor, size_t count, uint32_t* indices) {
  constexpr uint64_t kLongestBlock = kBlockEntries * kMaxCodeBits / 8 + 3 * sizeof(uint64_t);
  if (cursor->bit / 8 + kLongestBlock <= cursor->bytes.size()) {
    TakeBlock(cursor, count, indices);
  } else {
    TakeLastBlock(cursor, count, indices);
  }
  return cursor->last < int64_t{cursor->elements} &&
         cursor->bit <= 8 * uint64_t{cursor->bytes.size()};
}

double ExpectedBitsOf(size_t entries, uint32_t elements) {
  if (entries == 0) return 0;
  const double q = 1 - static_cast<double>(entries) / elements;  // of an element: not an entry
  const unsigned parameter = ParameterOfMean(elements - entries, entries);
  const auto bits = [q](unsigned b) {
    const double beyond = std::pow(q, std::exp2(b));  // a gap is 2^b or more
    return 1 + b + beyond / (1 - beyond);
  };
  const double fewest = std::min(bits(parameter), bits(std::max(parameter, 1u) - 1));
  return static_cast<double>(entries) * (fewest + double{kHeadBits} / kBlockEntries);
}

// With the first parameter b that is tried, 2^b <= mean + 1 < 2^(b + 1): so the
// quotients sum up to less than 2 per entry, and less than 1/8 of the entries escape,
// which costs each at most 31 - b bits more than its quotient would. That makes
// 1 + b + 2 + (31 - b) / 8 bits per entry at most, and fewer with a better parameter.
// Over all blocks it is most when all have the same mean: the logarithm is concave.
size_t MaxBytesOf(size_t entries, uint32_t elements, size_t blocks) {
  if (entries == 0) return 0;
  const double mean = static_cast<double>(elements) / static_cast<double>(entries);
  const double parameter = std::log2(mean + 1);
  const double bits = static_cast<double>(entries) * (3 + parameter + (31 - parameter) / 8) +
                      static_cast<double>(blocks) * kHeadBits;
  return static_cast<size_t>(std::ceil(bits / 8)) + 1;
}

class Rice final : public IndexCodec {
 public:
  std::string_view name() const override { return "rice"; }

  double ExpectedBits(size_t entries, uint32_t elements) const override {
    return ExpectedBitsOf(entries, elements);
  }

  size_t MaxBytes(size_t entries, uint32_t elements, size_t blocks) const override {
    return MaxBytesOf(entries, elements, blocks);
  }

  size_t Encode(const IndexSet& set, std::byte* out) const override {
    BitWriter writer(out);
    ForGaps(set,
            [&](std::span<const uint32_t> gaps, uint64_t sum) { PutBlock(gaps, sum, &writer); });
    return writer.bytes();
  }

  bool Next(IndexCursor* cursor, size_t count, uint32_t* indices) const override {
    return Take(cursor, count, indices);
  }
};

// The same of the indices that are not there: few where most are.
class RiceAbsent final : public IndexCodec {
 public:
  std::string_view name() const override { return "rice-absent"; }

  double ExpectedBits(size_t entries, uint32_t elements) const override {
    return ExpectedBitsOf(elements - entries, elements);
  }

  // Of fewer entries more are absent.
  size_t MaxBytes(size_t, uint32_t elements, size_t) const override {
    return MaxBytesOf(elements, elements, MaxBlocks(elements, 1));
  }

  size_t Encode(const IndexSet& set, std::byte* out) const override {
    BitWriter writer(out);
    uint32_t gaps[kBlockEntries];
    uint64_t sum = 0;
    size_t count = 0;
    uint32_t gap = 0;  // entries since the last absent index
    const auto put_absent = [&](uint32_t from, uint32_t to) {
      for (uint32_t index = from; index < to; ++index) {
        gaps[count++] = gap;
        sum += gap;
        gap = 0;
        if (count == kBlockEntries) {
          PutBlock({gaps, count}, sum, &writer);
          count = 0;
          sum = 0;
        }
      }
    };
    uint32_t next = 0;
    for (uint32_t index : set.indices) {
      put_absent(next, index);
      ++gap;
      next = index + 1;
    }
    put_absent(next, set.elements);
    if (count > 0) PutBlock({gaps, count}, sum, &writer);
    return writer.bytes();
  }

  bool Start(size_t entries, size_t, IndexCursor* cursor) const override {
    if (entries > cursor->elements) return false;
    cursor->absent_left = cursor->elements - static_cast<uint32_t>(entries);
    return true;
  }

  bool Next(IndexCursor* cursor, size_t count, uint32_t* indices) const override {
    for (size_t i = 0; i < count;) {
      if (cursor->absent_at == cursor->absent_count && cursor->absent_left > 0) {
        cursor->absent_count = std::min(static_cast<uint32_t>(kBlockEntries), cursor->absent_left);
        cursor->absent_left -= cursor->absent_count;
        cursor->absent_at = 0;
        if (!Take(cursor, cursor->absent_count, cursor->absent)) return false;
      }
      const bool some = cursor->absent_at < cursor->absent_count;
      const uint32_t end = some ? cursor->absent[cursor->absent_at] : cursor->elements;
      const auto here = std::min<size_t>(count - i, end - cursor->next);
      for (size_t j = 0; j < here; ++j) indices[i++] = cursor->next++;
      if (i < count) {
        if (!some) return false;
        ++cursor->next;
        ++cursor->absent_at;
      }
    }
    return true;
  }

  bool Finished(IndexCursor* cursor) const override {
    while (cursor->absent_left > 0) {
      const uint32_t count = std::min(static_cast<uint32_t>(kBlockEntries), cursor->absent_left);
      cursor->absent_left -= count;
      if (!Take(cursor, count, cursor->absent)) return false;
    }
    return IndexCodec::Finished(cursor);
  }
};

// Rice, with the bytes of each block (16 bits each) before the first: blocks start on a
// byte, and one need not be decoded to find the next.
class RiceBlocks final : public IndexCodec {
 public:
  std::string_view name() const override { return "rice-blocks"; }

  double ExpectedBits(size_t entries, uint32_t elements) const override {
    constexpr double kLengthBits = 16 + 3.5;  // and what is missing in a block's last byte
    return ExpectedBitsOf(entries, elements) +
           static_cast<double>(entries) * kLengthBits / kBlockEntries;
  }

  size_t MaxBytes(size_t entries, uint32_t elements, size_t blocks) const override {
    return MaxBytesOf(entries, elements, blocks) + (kLengthBytes + 1) * blocks;
  }

  size_t Encode(const IndexSet& set, std::byte* out) const override {
    size_t blocks = 0;
    ForBlocks(set.run_ends, [&](size_t, size_t) { ++blocks; });
    std::byte* lengths = out;
    std::byte* end = out + kLengthBytes * blocks;
    ForGaps(set, [&](std::span<const uint32_t> gaps, uint64_t sum) {
      BitWriter writer(end);
      PutBlock(gaps, sum, &writer);
      const auto length = static_cast<uint16_t>(writer.bytes());
      std::memcpy(lengths, &length, sizeof(length));
      lengths += kLengthBytes;
      end += length;
    });
    return static_cast<size_t>(end - out);
  }

  bool Start(size_t, size_t blocks, IndexCursor* cursor) const override {
    cursor->bit = 8 * uint64_t{kLengthBytes} * blocks;
    return cursor->bit <= 8 * uint64_t{cursor->bytes.size()};
  }

  bool Next(IndexCursor* cursor, size_t count, uint32_t* indices) const override {
    uint16_t length;
    std::memcpy(&length, cursor->bytes.data() + kLengthBytes * cursor->next++, sizeof(length));
    const uint64_t end = cursor->bit + 8 * uint64_t{length};
    if (!Take(cursor, count, indices)) return false;
    // Exactly so many bytes, spare bits being zero.
    if (end > 8 * uint64_t{cursor->bytes.size()}) return false;
    if (cursor->bit > end || end - cursor->bit >= 8) return false;
    const uint64_t spare = LoadBitsChecked(cursor->bytes, cursor->bit);
    if ((spare & ((uint64_t{1} << (end - cursor->bit)) - 1)) != 0) return false;
    cursor->bit = end;
    return true;
  }

 private:
  static constexpr size_t kLengthBytes = sizeof(uint16_t);
};

}  // namespace

const IndexCodec& RiceCodec() {
  static const Rice codec;
  return codec;
}

const IndexCodec& RiceAbsentCodec() {
  static const RiceAbsent codec;
  return codec;
}

const IndexCodec& RiceBlocksCodec() {
  static const RiceBlocks codec;
  return codec;
}

}  // namespace cddp

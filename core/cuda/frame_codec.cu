#include <cfloat>

#include "core/cuda/block_scan.cuh"
#include "core/cuda/frame_codec.h"
#include "core/runs.h"

namespace cddp::cuda {

namespace {

constexpr int kThreads = 256;
constexpr int kWarps = kThreads / kWarp;
constexpr uint32_t kEach = kBlockEntries / kWarp;  // entries of a block that a lane codes

// As in core/rice.cc.
constexpr unsigned kParameterBits = 5;
constexpr unsigned kHeadBits = kParameterBits + 1;
constexpr unsigned kWidthBits = 5;
constexpr unsigned kMaxParameter = 31;
constexpr unsigned kClustersEscape = 4;
constexpr unsigned kMaxCodeBits = 48;
constexpr uint32_t kMaxBlockWords =
    (kBlockEntries * kMaxCodeBits + kHeadBits + kWidthBits + 31) / 32 + 2;

struct BlockCode {
  unsigned parameter;
  unsigned escape;
  unsigned width;

  __device__ bool clusters() const { return escape == kClustersEscape; }
  __device__ unsigned head_bits() const { return clusters() ? kHeadBits + kWidthBits : kHeadBits; }
};

__device__ BlockCode Plain(unsigned parameter) { return {parameter, 16, 32}; }
__device__ BlockCode Clusters(unsigned parameter, unsigned width) {
  return {parameter, kClustersEscape, width};
}

__device__ uint32_t Pack(const BlockCode& code) {
  return code.parameter | code.escape << 8 | code.width << 16;
}
__device__ BlockCode Unpack(uint32_t packed) {
  return {packed & 0xff, packed >> 8 & 0xff, packed >> 16};
}

// The gaps of a block that one lane codes: entries kEach * lane on.
struct Gaps {
  uint32_t gap[kEach];
  uint32_t count;  // of this lane
};

__device__ Gaps LoadGaps(const uint32_t* indices, const CodeBlock& block, int lane) {
  Gaps gaps;
  const uint32_t first = kEach * lane;
  gaps.count = first >= block.count ? 0 : min(kEach, block.count - first);
  uint32_t next = 0;  // the first index that may come
  if (gaps.count > 0 && block.begin + first > 0) next = indices[block.begin + first - 1] + 1;
#pragma unroll
  for (uint32_t i = 0; i < kEach; ++i) {
    gaps.gap[i] = 0;
    if (i >= gaps.count) continue;
    const uint32_t index = indices[block.begin + first + i];
    gaps.gap[i] = index - next;
    next = index + 1;
  }
  return gaps;
}

__device__ uint32_t Bits(uint32_t gap, const BlockCode& code) {
  const uint32_t quotient = gap >> code.parameter;
  return quotient < code.escape ? quotient + 1 + code.parameter : code.escape + code.width;
}

// Of the whole block; every lane gets it.
__device__ uint32_t Cost(const Gaps& gaps, const BlockCode& code) {
  uint32_t cost = 0;
#pragma unroll
  for (uint32_t i = 0; i < kEach; ++i) {
    if (i < gaps.count) cost += Bits(gaps.gap[i], code);
  }
  return code.head_bits() + WarpSum(cost);
}

__device__ unsigned ParameterOfMean(uint64_t sum, uint32_t count) {
  const unsigned width = 64 - __clzll(static_cast<int64_t>((sum + count) / count));
  return min(width - 1, kMaxParameter);
}

// BestCode of core/rice.cc, by a warp.
__device__ BlockCode BestCode(const Gaps& gaps, uint32_t count, uint32_t* best_cost) {
  uint32_t sum = 0;  // gaps of a bucket add up to less than its elements
  uint32_t most = 0;
#pragma unroll
  for (uint32_t i = 0; i < kEach; ++i) {
    sum += gaps.gap[i];
    most = max(most, gaps.gap[i]);
  }
  sum = WarpSum(sum);
  most = WarpMax(most);
  BlockCode best = Plain(ParameterOfMean(sum, count));
  uint32_t cost = Cost(gaps, best);
  while (best.parameter > 0) {
    const uint32_t lower = Cost(gaps, Plain(best.parameter - 1));
    if (lower > cost) break;
    cost = lower;
    --best.parameter;
  }
  const uint32_t mean = sum / count;
  uint32_t small_sum = 0;
  uint32_t small = 0;
#pragma unroll
  for (uint32_t i = 0; i < kEach; ++i) {
    if (i >= gaps.count || gaps.gap[i] > mean) continue;
    ++small;
    small_sum += gaps.gap[i];
  }
  const unsigned within = ParameterOfMean(WarpSum(small_sum), WarpSum(small));
  if (within + 1 < best.parameter) {
    const unsigned width = 32 - __clz(static_cast<int>(most));
    for (unsigned parameter = within; parameter <= within + 1; ++parameter) {
      for (const BlockCode& code : {Plain(parameter), Clusters(parameter, width)}) {
        const uint32_t other = Cost(gaps, code);
        if (other >= cost) continue;
        cost = other;
        best = code;
      }
    }
  }
  *best_cost = cost;
  return best;
}

struct EncoderArguments {
  const CodeBlock* blocks;
  uint32_t block_count;
  const uint32_t* indices;
  float* values;
  uint32_t* codes;
  uint32_t* block_at;  // bytes from the first block's
  uint32_t* arrived;
  std::byte* payload;
  Outcome* outcome;
  float* residual_next;  // for what is rounded away, unless null
  bool stochastic;
  uint64_t key;
};

// Chooses each block's code and writes how many bytes it takes; the last block of threads
// sums them up.
__global__ __launch_bounds__(kThreads) void ChooseCodes(
    const __grid_constant__ EncoderArguments a) {
  const uint32_t b = blockIdx.x * kWarps + threadIdx.x / kWarp;
  const int lane = threadIdx.x % kWarp;
  if (b < a.block_count && a.outcome->failed_parameters == 0) {
    const CodeBlock block = a.blocks[b];
    const Gaps gaps = LoadGaps(a.indices, block, lane);
    uint32_t bits;
    const BlockCode code = BestCode(gaps, block.count, &bits);
    if (lane == 0) {
      const uint32_t bytes = (bits + 7) / 8;
      a.codes[b] = Pack(code);
      a.block_at[b] = bytes;
      a.payload[2 * b] = static_cast<std::byte>(bytes & 0xff);
      a.payload[2 * b + 1] = static_cast<std::byte>(bytes >> 8);
    }
  }
  if (!IsLastBlock(a.arrived, gridDim.x)) return;
  const uint32_t total = BlockScanInPlace<kThreads>(a.block_at, a.block_count);
  if (threadIdx.x == 0) a.outcome->index_bytes = 2 * a.block_count + total;
}

// Sets up to 64 bits of zeroed words, from bit `at` on.
__device__ void PutBits(uint32_t* words, uint32_t at, uint64_t bits) {
  uint32_t* const word = words + at / 32;
  const unsigned shift = at % 32;
  atomicOr(word, static_cast<uint32_t>(bits << shift));
  if (const auto second = static_cast<uint32_t>(bits << shift >> 32)) atomicOr(word + 1, second);
  if (shift > 0) {
    if (const auto third = static_cast<uint32_t>(bits >> (64 - shift))) atomicOr(word + 2, third);
  }
}

// As in core/value_codec.cc, to the bit.
constexpr uint32_t kSign = 0x80000000u;
constexpr uint32_t kLargest16 = 0x7f7f;

__device__ uint32_t MagnitudeBits(float value) { return __float_as_uint(value) & ~kSign; }
__device__ float FromBf16(uint32_t half) { return __uint_as_float(half << 16); }
__device__ uint32_t ToBf16(uint32_t magnitude) {
  return min((magnitude + 0x7fff + (magnitude >> 16 & 1)) >> 16, kLargest16);
}
__device__ uint32_t ToBf16Up(uint32_t magnitude) {
  return min((magnitude + 0xffff) >> 16, kLargest16);
}
__device__ uint32_t ToBf16Down(uint32_t magnitude) { return magnitude >> 16; }

__device__ float RoundLevel(float level, const EncoderArguments& a, uint32_t entry) {
  if (!a.stochastic) {
    constexpr float kShift = 12582912.0f;
    return (level + kShift) - kShift;
  }
  uint64_t z = a.key + (uint64_t{entry} + 1) * 0x9e3779b97f4a7c15ull;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
  return floorf(level + static_cast<float>((z ^ (z >> 31)) >> 40) * 0x1p-24f);
}

// As std::min and std::max: of zeros of both signs, the first.
__device__ float Lesser(float a, float b) { return b < a ? b : a; }
__device__ float Greater(float a, float b) { return a < b ? b : a; }

__device__ float Int8Value(int32_t code, float step, float most) {
  return Greater(-most, Lesser(static_cast<float>(code) * step, most));
}
__device__ float Int4Magnitude(float level, float lo, float step, float hi) {
  return Lesser(lo + level * step, hi);
}

template <int kBytes>
__device__ void StoreBytes(std::byte* to, uint32_t word) {
#pragma unroll
  for (int i = 0; i < kBytes; ++i) to[i] = static_cast<std::byte>(word >> (8 * i) & 0xff);
}
template <int kBytes>
__device__ uint32_t LoadBytes(const std::byte* from) {
  uint32_t word = 0;
#pragma unroll
  for (int i = 0; i < kBytes; ++i) word |= static_cast<uint32_t>(from[i]) << (8 * i);
  return word;
}

// The values of this lane, at `out` for the block, and to *values what they decode to.
template <ValueFormat kFormat>
__device__ void PutValues(const EncoderArguments& a, const CodeBlock& block, uint32_t count,
                          int lane, float (&values)[kEach], std::byte* out) {
  const uint32_t first = kEach * lane;
  uint32_t least = __float_as_uint(FLT_MAX);
  uint32_t most = 0;
#pragma unroll
  for (uint32_t i = 0; i < kEach; ++i) {
    if (i >= count) continue;
    least = min(least, MagnitudeBits(values[i]));
    most = max(most, MagnitudeBits(values[i]));
  }
  if constexpr (kFormat == ValueFormat::kFp32) {
    for (uint32_t i = 0; i < count; ++i) {
      StoreBytes<4>(out + 4 * (first + i), __float_as_uint(values[i]));
    }
  } else if constexpr (kFormat == ValueFormat::kBf16) {
#pragma unroll
    for (uint32_t i = 0; i < kEach; ++i) {
      if (i >= count) continue;
      const uint32_t bits = __float_as_uint(values[i]);
      const uint32_t half = (bits & kSign) >> 16 | ToBf16(bits & ~kSign);
      StoreBytes<2>(out + 2 * (first + i), half);
      values[i] = FromBf16(half);
    }
  } else if constexpr (kFormat == ValueFormat::kInt8) {
    const uint32_t scale = ToBf16Up(WarpMax(most));
    const float largest = FromBf16(scale);
    const float step = largest / 127.0f;
    if (lane == 0) StoreBytes<2>(out, scale);
#pragma unroll
    for (uint32_t i = 0; i < kEach; ++i) {
      if (i >= count) continue;
      float level = 0;
      if (step > 0) level = RoundLevel(fabsf(values[i]) / step, a, block.begin + first + i);
      const auto magnitude = static_cast<int32_t>(fminf(level, 127.0f));
      const int32_t code = signbit(values[i]) ? -magnitude : magnitude;
      out[2 + first + i] = static_cast<std::byte>(code & 0xff);
      values[i] = Int8Value(code, step, largest);
    }
  } else {
    const uint32_t low = ToBf16Down(WarpMin(least));
    const uint32_t high = ToBf16Up(WarpMax(most));
    const float lo = FromBf16(low);
    const float hi = FromBf16(high);
    const float step = (hi - lo) / 7.0f;
    if (lane == 0) StoreBytes<4>(out, low | high << 16);
    uint32_t codes = 0;
#pragma unroll
    for (uint32_t i = 0; i < kEach; ++i) {
      if (i >= count) continue;
      float level = 0;
      if (step > 0) {
        level = RoundLevel((fabsf(values[i]) - lo) / step, a, block.begin + first + i);
      }
      level = fminf(level, 7.0f);
      const uint32_t sign = __float_as_uint(values[i]) & kSign;
      codes |= (sign >> 28 | static_cast<uint32_t>(level)) << (4 * i);
      values[i] = __uint_as_float(sign | __float_as_uint(Int4Magnitude(level, lo, step, hi)));
    }
    static_assert(kEach == 8);  // a word of codes
    for (uint32_t i = 0; i < (count + 1) / 2; ++i) {
      out[4 + first / 2 + i] = static_cast<std::byte>(codes >> (8 * i) & 0xff);
    }
  }
}

template <ValueFormat kFormat>
__global__ __launch_bounds__(kThreads) void WriteBlocks(
    const __grid_constant__ EncoderArguments a) {
  __shared__ uint32_t words_of_warps[kWarps][kMaxBlockWords];
  const uint32_t b = blockIdx.x * kWarps + threadIdx.x / kWarp;
  const int lane = threadIdx.x % kWarp;
  if (b >= a.block_count || a.outcome->failed_parameters != 0) return;
  uint32_t* const words = words_of_warps[threadIdx.x / kWarp];
  const CodeBlock block = a.blocks[b];
  const uint32_t at = 2 * a.block_count + a.block_at[b];
  const uint32_t bytes = LoadBytes<2>(a.payload + 2 * b);
  for (uint32_t i = lane; 4 * i < bytes; i += kWarp) words[i] = 0;
  __syncwarp();

  const BlockCode code = Unpack(a.codes[b]);
  const Gaps gaps = LoadGaps(a.indices, block, lane);
  uint32_t bits = 0;
#pragma unroll
  for (uint32_t i = 0; i < kEach; ++i) {
    if (i < gaps.count) bits += Bits(gaps.gap[i], code);
  }
  uint32_t bit = code.head_bits() + WarpInclusiveSum(bits, lane) - bits;
  if (lane == 0) {
    uint64_t head = (code.clusters() ? 1u : 0u) << kParameterBits | code.parameter;
    if (code.clusters()) head |= uint64_t{code.width - 1} << kHeadBits;
    PutBits(words, 0, head);
  }
  const uint64_t low_bits = (uint64_t{1} << code.parameter) - 1;
#pragma unroll
  for (uint32_t i = 0; i < kEach; ++i) {
    if (i >= gaps.count) continue;
    const uint32_t quotient = gaps.gap[i] >> code.parameter;
    PutBits(words, bit,
            quotient < code.escape ? ((gaps.gap[i] & low_bits) << 1 | 1) << quotient
                                   : uint64_t{gaps.gap[i]} << code.escape);
    bit += Bits(gaps.gap[i], code);
  }
  __syncwarp();
  std::byte* const out = a.payload + at;
  for (uint32_t i = lane; i < bytes; i += kWarp) {
    out[i] = static_cast<std::byte>(words[i / 4] >> (8 * (i % 4)) & 0xff);
  }

  float values[kEach] = {};
  const uint32_t first = block.begin + kEach * lane;
#pragma unroll
  for (uint32_t i = 0; i < kEach; ++i) {
    if (i < gaps.count) values[i] = a.values[first + i];
  }
  PutValues<kFormat>(a, block, gaps.count, lane, values,
                     a.payload + a.outcome->index_bytes + block.values_at);
  if constexpr (kFormat != ValueFormat::kFp32) {
#pragma unroll
    for (uint32_t i = 0; i < kEach; ++i) {
      if (i >= gaps.count) continue;
      const float taken = a.values[first + i];
      if (a.residual_next != nullptr && taken != values[i]) {
        a.residual_next[a.indices[first + i]] = taken - values[i];
      }
      a.values[first + i] = values[i];
    }
  }
}

// Calls launch.template operator()<kFormat>() for a format that CodesOnDevice.
template <typename Launch>
void ForValues(ValueFormat format, Launch launch) {
  switch (format) {
    case ValueFormat::kBf16:
      return launch.template operator()<ValueFormat::kBf16>();
    case ValueFormat::kInt8:
      return launch.template operator()<ValueFormat::kInt8>();
    case ValueFormat::kInt4:
      return launch.template operator()<ValueFormat::kInt4>();
    default:
      return launch.template operator()<ValueFormat::kFp32>();
  }
}

uint32_t CeilDiv(uint32_t a, uint32_t b) { return a / b + (a % b != 0); }

struct DecoderArguments {
  const FrameDecoder::Frame* frames;
  const std::byte* bytes;
  uint32_t* offsets;
  uint64_t* spans;
  uint32_t* block_at;
  uint32_t* bad;  // a bit for each frame, but the frames from 31 on share one
};

__device__ void MarkBad(const DecoderArguments& a, uint32_t frame) {
  atomicOr(a.bad, 1u << min(frame, 31u));
}

__device__ const CodeBlock* BlocksOf(const DecoderArguments& a, const FrameDecoder::Frame& frame) {
  return reinterpret_cast<const CodeBlock*>(a.bytes + frame.code_blocks);
}

// The bytes where each block's indices start, from the first block's.
__global__ __launch_bounds__(kThreads) void FindBlocks(const __grid_constant__ DecoderArguments a) {
  const FrameDecoder::Frame& frame = a.frames[blockIdx.x];
  const std::byte* const lengths = a.bytes + frame.indices;
  uint32_t* const at = a.block_at + frame.first_block;
  for (uint32_t i = threadIdx.x; i < frame.blocks; i += kThreads) {
    at[i] = LoadBytes<2>(lengths + 2 * i);
  }
  __syncthreads();
  const uint32_t total = BlockScanInPlace<kThreads>(at, frame.blocks);
  if (threadIdx.x == 0 && 2 * frame.blocks + total != frame.index_bytes) {
    MarkBad(a, blockIdx.x);
  }
}

// Reads bits of 32-bit words, but for the first `skip`. Words are fetched ahead, so that no
// code has to wait for them: what takes time here is one code after the other.
class BitReader {
 public:
  __device__ BitReader(const uint32_t* words, uint32_t skip)
      : next_(words + skip / 32 + 3),
        low_(next_[-3]),
        high_(next_[-2]),
        ahead_(next_[-1]),
        shift_(skip % 32) {}

  // The next 32 bits.
  __device__ uint32_t Peek() const { return __funnelshift_r(low_, high_, shift_); }
  // At most 32.
  __device__ void Drop(unsigned bits) {
    taken_ += bits;
    shift_ += bits;
    if (shift_ < 32) return;
    shift_ -= 32;
    low_ = high_;
    high_ = ahead_;
    ahead_ = *next_++;
  }
  // Those that were dropped.
  __device__ uint32_t taken() const { return taken_; }

 private:
  const uint32_t* next_;
  uint32_t low_;
  uint32_t high_;
  uint32_t ahead_;
  unsigned shift_;
  uint32_t taken_ = 0;
};

__device__ uint32_t LowBits(uint32_t word, unsigned bits) {
  return bits < 32 ? word & ((1u << bits) - 1) : word;
}

// A thread reads the gaps of a block, a warp those of 32 blocks in a row: their bytes are
// fetched into shared memory together, and what they say is written from there, so that
// all traffic is in whole lines. Bytes for which there is no room (clusters apart, a block
// takes some 300) are read where they are.
constexpr uint32_t kStagedWords = 3000;
constexpr uint32_t kAheadWords = FrameDecoder::kReadAheadBytes / 4;
constexpr uint32_t kOffsetStride = kWarp + 1;  // no two lanes in one bank, either way

__global__ __launch_bounds__(kWarp) void ReadGaps(const __grid_constant__ DecoderArguments a) {
  __shared__ uint32_t staged[kStagedWords];
  __shared__ uint32_t offsets[kBlockEntries * kOffsetStride];
  const FrameDecoder::Frame& frame = a.frames[blockIdx.y];
  const uint32_t first = blockIdx.x * kWarp;
  if (first >= frame.blocks) return;
  const uint32_t in_warp = min(uint32_t{kWarp}, frame.blocks - first);
  const int lane = threadIdx.x;
  const bool mine = lane < in_warp;
  const uint32_t b = first + min(static_cast<uint32_t>(lane), in_warp - 1);
  const CodeBlock block = BlocksOf(a, frame)[b];
  const std::byte* const indices = a.bytes + frame.indices;
  const uint32_t length = LoadBytes<2>(indices + 2 * b);
  const uint32_t at = 2 * frame.blocks + a.block_at[frame.first_block + b];
  const bool fits = at + length <= frame.index_bytes;
  const uint32_t begin = __shfl_sync(kAllLanes, at, 0) & ~3u;  // the indices are aligned
  const uint32_t end = min(__shfl_sync(kAllLanes, at + length, in_warp - 1), frame.index_bytes);
  // And what a reader looks at behind the last byte: a head, a code and its word ahead.
  const uint32_t words = end > begin ? (end - begin + 3) / 4 + kAheadWords : 0;
  const auto* const source = reinterpret_cast<const uint32_t*>(indices + begin);
  const bool stage = words <= kStagedWords;
  if (stage) {
    constexpr uint32_t kAtOnce = 16;
    for (uint32_t i = lane; i < words; i += kAtOnce * kWarp) {
      uint32_t loaded[kAtOnce];
#pragma unroll
      for (uint32_t j = 0; j < kAtOnce; ++j) {
        loaded[j] = i + j * kWarp < words ? source[i + j * kWarp] : 0;
      }
#pragma unroll
      for (uint32_t j = 0; j < kAtOnce; ++j) {
        if (i + j * kWarp < words) staged[i + j * kWarp] = loaded[j];
      }
    }
  }
  __syncwarp();

  uint64_t next = 0;
  bool good = fits;
  if (mine && fits) {
    BitReader reader(stage ? staged : source, 8 * (at - begin));
    BlockCode code = Plain(0);
    const uint32_t head = reader.Peek();
    code.parameter = LowBits(head, kParameterBits);
    if (head >> kParameterBits & 1) {
      code = Clusters(code.parameter, LowBits(head >> kHeadBits, kWidthBits) + 1);
    }
    reader.Drop(code.head_bits());
    for (uint32_t i = 0; i < block.count; ++i) {
      const uint32_t word = reader.Peek();
      const unsigned zeros = __ffs(static_cast<int>(word | 1u << code.escape)) - 1;
      if (zeros < code.escape && zeros + 1 + code.parameter <= 32) {
        next += zeros << code.parameter | LowBits(word >> (zeros + 1), code.parameter);
        reader.Drop(zeros + 1 + code.parameter);
      } else {
        const bool escaped = zeros == code.escape;
        const unsigned bits = escaped ? code.width : code.parameter;
        reader.Drop(escaped ? zeros : zeros + 1);
        next += LowBits(reader.Peek(), bits) + (escaped ? 0 : uint64_t{zeros} << code.parameter);
        reader.Drop(bits);
      }
      offsets[i * kOffsetStride + lane] = static_cast<uint32_t>(next);
      ++next;
      if (reader.taken() > 8 * length) break;
    }
    // All bits were there, and what is left is less than a byte and zero.
    const uint32_t taken = reader.taken();
    good = taken <= 8 * length && 8 * length - taken < 8 &&
           LowBits(reader.Peek(), 8 * length - taken) == 0 && next <= frame.elements;
  }
  if (mine) {
    if (!good) MarkBad(a, blockIdx.y);
    a.spans[frame.first_block + b] = good ? next : 0;
  }
  __syncwarp();
  for (uint32_t j = 0; j < in_warp; ++j) {
    const uint32_t count = __shfl_sync(kAllLanes, block.count, j);
    const uint32_t to = __shfl_sync(kAllLanes, block.begin, j) + frame.first_entry;
    for (uint32_t i = lane; i < count; i += kWarp) {
      a.offsets[to + i] = offsets[i * kOffsetStride + j];
    }
  }
}

// The element that each block's offsets count from.
__global__ __launch_bounds__(kThreads) void FindOrigins(
    const __grid_constant__ DecoderArguments a) {
  const FrameDecoder::Frame& frame = a.frames[blockIdx.x];
  const uint64_t total = BlockScanInPlace<kThreads>(a.spans + frame.first_block, frame.blocks);
  if (threadIdx.x == 0 && total > frame.elements) MarkBad(a, blockIdx.x);
}

// The value of entry i of a block, of which the bytes start at `in`. False when the bytes are
// none that an encoder writes.
template <ValueFormat kFormat>
__device__ bool TakeValue(const std::byte* in, uint32_t i, uint32_t count, float* value) {
  if constexpr (kFormat == ValueFormat::kFp32) {
    *value = __uint_as_float(LoadBytes<4>(in + 4 * i));
  } else if constexpr (kFormat == ValueFormat::kBf16) {
    *value = FromBf16(LoadBytes<2>(in + 2 * i));
  } else if constexpr (kFormat == ValueFormat::kInt8) {
    const uint32_t scale = LoadBytes<2>(in);
    const auto code = static_cast<int8_t>(in[2 + i]);
    const float most = FromBf16(scale);
    *value = Int8Value(code, most / 127.0f, most);
    return scale <= kLargest16 && code != -128;
  } else {
    const uint32_t low = LoadBytes<2>(in);
    const uint32_t high = LoadBytes<2>(in + 2);
    const auto pair = static_cast<uint32_t>(in[4 + i / 2]);
    const uint32_t code = i % 2 == 0 ? pair & 15 : pair >> 4;
    const float lo = FromBf16(low);
    const float hi = FromBf16(high);
    const float magnitude = Int4Magnitude(static_cast<float>(code & 7), lo, (hi - lo) / 7.0f, hi);
    *value = code & 8 ? -magnitude : magnitude;
    // bf16 in order of their bits: neither is negative or infinite, or a NaN.
    if (high > kLargest16 || low > high) return false;
    if (i + 1 == count && i % 2 == 0 && pair >> 4 != 0) return false;
  }
  return MagnitudeBits(*value) <= __float_as_uint(FLT_MAX);
}

// How many of `count` ascending numbers are at most `wanted`. All lanes of a warp: each looks
// at one of 32 places at a time.
__device__ uint32_t CountAtMost(const uint64_t* numbers, uint32_t count, uint64_t wanted,
                                int lane) {
  uint32_t begin = 0;
  while (count > 0) {
    const uint32_t each = (count + kWarp - 1) / kWarp;
    const uint32_t last = min((lane + 1) * each, count) - 1;  // of this lane's share
    const bool whole = lane * each < count && numbers[begin + last] <= wanted;
    const uint32_t shares = __popc(__ballot_sync(kAllLanes, whole));
    const uint32_t skipped = min(shares * each, count);
    begin += skipped;
    count = each == 1 ? 0 : min(each, count - skipped);
    if (each > 1 && count > 0) --count;  // the last of the share is known to be more
  }
  return begin;
}

// The sum of all frames for kSumElements elements, in shared memory: the gradient is written
// once and not read. First, each warp lists the entries of a frame that lie here; then they
// are added, frame after frame. Elements of one frame are distinct. Where entries are too
// dense for the lists, the frames are gone through one by one.
constexpr uint32_t kSumElements = 8192;
constexpr int kSumThreads = 256;
constexpr uint32_t kSumFrames = kSumThreads / kWarp;  // at a time: one for each warp
constexpr uint32_t kListed = 256;                     // entries of a frame

// Calls visit(lane's entry is here, element, value) for the entries of blocks [begin, end) of
// a frame, all lanes of the warp at once.
template <ValueFormat kFormat, typename Visit>
__device__ void ForEntries(const DecoderArguments& a, uint32_t f, uint32_t begin, uint32_t end,
                           uint32_t step, uint32_t low, uint32_t high, int lane, Visit visit) {
  const FrameDecoder::Frame& frame = a.frames[f];
  for (uint32_t b = begin; b < end; b += step) {
    const CodeBlock block = BlocksOf(a, frame)[b];
    const uint64_t origin = a.spans[frame.first_block + b];
    const std::byte* const in = a.bytes + frame.values + block.values_at;
    uint64_t elements[kEach];
#pragma unroll
    for (uint32_t j = 0; j < kEach; ++j) {
      const uint32_t i = lane + kWarp * j;
      elements[j] =
          i < block.count ? origin + a.offsets[frame.first_entry + block.begin + i] : UINT64_MAX;
    }
#pragma unroll
    for (uint32_t j = 0; j < kEach; ++j) {
      const bool here = elements[j] >= low && elements[j] < high;
      float value = 0;
      if (here && !TakeValue<kFormat>(in, lane + kWarp * j, block.count, &value)) MarkBad(a, f);
      visit(here, static_cast<uint32_t>(elements[j] - low), value);
    }
  }
}

template <ValueFormat kFormat>
__global__ __launch_bounds__(kSumThreads) void SumFrames(const __grid_constant__ DecoderArguments a,
                                                         uint32_t frame_count, uint32_t elements,
                                                         float* dense) {
  __shared__ float4 sums[kSumElements / 4];
  __shared__ uint16_t listed_elements[kSumFrames][kListed];
  __shared__ float listed_values[kSumFrames][kListed];
  __shared__ uint32_t listed[kSumFrames];
  __shared__ uint2 blocks[kSumFrames];  // of each frame: those that reach into these elements
  float* const sum = reinterpret_cast<float*>(sums);
  const uint32_t warp = threadIdx.x / kWarp;
  const int lane = threadIdx.x % kWarp;
  const uint32_t low = blockIdx.x * kSumElements;
  const uint32_t high = low + min(kSumElements, elements - low);
  for (uint32_t i = threadIdx.x; i < kSumElements / 4; i += kSumThreads) {
    sums[i] = make_float4(0, 0, 0, 0);
  }
  for (uint32_t first = 0; first < frame_count; first += kSumFrames) {
    const uint32_t in_turn = min(kSumFrames, frame_count - first);
    uint32_t count = 0;
    if (warp < in_turn) {
      const uint32_t f = first + warp;
      const FrameDecoder::Frame& frame = a.frames[f];
      const uint64_t* const origins = a.spans + frame.first_block;
      const uint32_t usable = *a.bad >> min(f, 31u) & 1 ? 0 : frame.blocks;
      const uint32_t begin = CountAtMost(origins, usable, low, lane);
      const uint32_t end = CountAtMost(origins, usable, high - 1, lane);
      const uint2 range = {begin > 0 ? begin - 1 : 0, end};
      if (lane == 0) blocks[warp] = range;
      // More blocks than that cannot be listed.
      if (range.y - range.x <= kListed / kBlockEntries + 2) {
        ForEntries<kFormat>(a, f, range.x, range.y, 1, low, high, lane,
                            [&](bool here, uint32_t element, float value) {
                              const unsigned lanes = __ballot_sync(kAllLanes, here);
                              const uint32_t at = count + __popc(lanes & ((1u << lane) - 1));
                              if (here && at < kListed) {
                                listed_elements[warp][at] = static_cast<uint16_t>(element);
                                listed_values[warp][at] = value;
                              }
                              count += __popc(lanes);
                            });
      } else {
        count = kListed + 1;
      }
      if (lane == 0) listed[warp] = count;
    }
    if (__syncthreads_and(count <= kListed)) {
      for (uint32_t f = 0; f < in_turn; ++f) {
        for (uint32_t i = threadIdx.x; i < listed[f]; i += kSumThreads) {
          sum[listed_elements[f][i]] += listed_values[f][i];
        }
        __syncthreads();
      }
    } else {
      for (uint32_t f = 0; f < in_turn; ++f) {
        ForEntries<kFormat>(a, first + f, blocks[f].x + warp, blocks[f].y, kSumFrames, low, high,
                            lane, [&](bool here, uint32_t element, float value) {
                              if (here) sum[element] += value;
                            });
        __syncthreads();
      }
    }
  }
  __syncthreads();
  if (high - low == kSumElements) {
    float4* const to = reinterpret_cast<float4*>(dense + low);
    for (uint32_t i = threadIdx.x; i < kSumElements / 4; i += kSumThreads) __stcs(to + i, sums[i]);
  } else {
    for (uint32_t i = threadIdx.x; i < high - low; i += kSumThreads) dense[low + i] = sum[i];
  }
}

}  // namespace

Status FrameEncoder::Encode(const BucketSelection& selection, float* residual_next, bool stochastic,
                            uint64_t key, cudaStream_t stream) {
  if (blocks_ == 0) return Status::Ok();
  const EncoderArguments a{.blocks = code_blocks_.data(),
                           .block_count = blocks_,
                           .indices = selection.indices(),
                           .values = selection.values(),
                           .codes = codes_.data(),
                           .block_at = block_at_.data(),
                           .arrived = arrived_.data(),
                           .payload = payload_.data(),
                           .outcome = selection.outcome(),
                           .residual_next = residual_next,
                           .stochastic = stochastic,
                           .key = key};
  ChooseCodes<<<CeilDiv(blocks_, kWarps), kThreads, 0, stream>>>(a);
  ForValues(values_, [&]<ValueFormat kFormat>() {
    WriteBlocks<kFormat><<<CeilDiv(blocks_, kWarps), kThreads, 0, stream>>>(a);
  });
  return StatusOf(cudaGetLastError(), "encoding");
}

Status FrameDecoder::SumUploaded(float* dense, cudaStream_t stream) {
  const DecoderArguments a{.frames = reinterpret_cast<const Frame*>(uploaded_.data()),
                           .bytes = uploaded_.data(),
                           .offsets = offsets_.data(),
                           .spans = spans_.data(),
                           .block_at = block_at_.data(),
                           .bad = bad_.data()};
  CDDP_RETURN_IF_ERROR(
      StatusOf(cudaMemsetAsync(bad_.data(), 0, sizeof(uint32_t), stream), "decoding"));
  const auto count = static_cast<uint32_t>(frames_.size());
  if (most_blocks_ > 0) {
    FindBlocks<<<count, kThreads, 0, stream>>>(a);
    ReadGaps<<<dim3(CeilDiv(most_blocks_, kWarp), count), kWarp, 0, stream>>>(a);
    FindOrigins<<<count, kThreads, 0, stream>>>(a);
  }
  if (elements_ > 0) {
    ForValues(value_format_, [&]<ValueFormat kFormat>() {
      SumFrames<kFormat><<<CeilDiv(elements_, kSumElements), kSumThreads, 0, stream>>>(
          a, count, elements_, dense);
    });
  }
  CDDP_RETURN_IF_ERROR(StatusOf(cudaGetLastError(), "decoding"));
  return StatusOf(cudaMemcpyAsync(bad_frames_.data(), bad_.data(), sizeof(uint32_t),
                                  cudaMemcpyDeviceToHost, stream),
                  "decoding");
}

}  // namespace cddp::cuda

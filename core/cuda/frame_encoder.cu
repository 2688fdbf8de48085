// Each warp finds the best code of a block's gaps and how long it makes them; once all
// lengths are known, and so where each block goes, it writes gaps and values.
#include "core/cuda/block_scan.cuh"
#include "core/cuda/codec.cuh"
#include "core/cuda/frame_encoder.h"
#include "core/cuda/overlap.cuh"
#include "core/split_mix.h"

namespace cddp::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kWarps = kThreads / kWarp;
constexpr uint32_t kEach = kBlockEntries / kWarp;  // entries of a block that a lane codes
constexpr uint32_t kMaxBlockWords =
    (kBlockEntries * kMaxCodeBits + kHeadBits + kWidthBits + 31) / 32 + 2;

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
  LetNextBegin();
  WaitForPrevious();
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
__device__ float RoundLevel(float level, const EncoderArguments& a, uint32_t entry) {
  if (!a.stochastic) {
    constexpr float kShift = 12582912.0f;
    return (level + kShift) - kShift;
  }
  return floorf(level + Chance(a.key, entry));
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
  WaitForPrevious();
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

uint32_t CeilDiv(uint32_t a, uint32_t b) { return a / b + (a % b != 0); }

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
  const dim3 grid(CeilDiv(blocks_, kWarps));
  Launch(ChooseCodes, grid, kThreads, overlaps_, stream, a);
  ForValues(values_, [&]<ValueFormat kFormat>() {
    Launch(WriteBlocks<kFormat>, grid, kThreads, overlaps_, stream, a);
  });
  return StatusOf(cudaGetLastError(), "encoding");
}
}  // namespace cddp::cuda

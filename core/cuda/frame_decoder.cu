// Each thread reads the gaps of a block, which is one code after the other; that makes up
// for the many blocks of all frames. Then sums are made for a few elements at a time. Longer than
// other files: the kernels of one pass, each of which relies on what the one before leaves.
#include "core/cuda/block_scan.cuh"
#include "core/cuda/codec.cuh"
#include "core/cuda/frame_decoder.h"
#include "core/cuda/overlap.cuh"

namespace cddp::cuda {
namespace {

constexpr int kThreads = 256;
constexpr uint32_t kEach = kBlockEntries / kWarp;  // entries of a block that a lane codes

struct DecoderArguments {
  const FrameDecoder::Frame* frames;
  const std::byte* bytes;
  uint32_t* offsets;
  uint64_t* spans;
  uint64_t* block_at;
  uint32_t* blocks_before;  // of each frame: those that begin before each piece of the sum, and all
  uint32_t pieces;
  FrameDecoder::Findings* findings;
};

__device__ void MarkBad(const DecoderArguments& a) { a.findings->bad = 1; }

// The same for all lanes of a warp, while others may write it.
__device__ bool IsBad(const DecoderArguments& a) {
  return __shfl_sync(kAllLanes, a.findings->bad, 0) != 0;
}

__device__ const CodeBlock* BlocksOf(const DecoderArguments& a, const FrameDecoder::Frame& frame) {
  return reinterpret_cast<const CodeBlock*>(a.bytes + frame.code_blocks);
}

// Of a block's entries: how far behind its origin each is.
__device__ uint32_t* OffsetsOf(const DecoderArguments& a, const FrameDecoder::Frame& frame,
                               uint32_t block) {
  return a.offsets + size_t{kBlockEntries} * (frame.first_block + block);
}

// The bytes where each block's indices start, from the first block's.
__global__ __launch_bounds__(kThreads) void FindBlocks(const __grid_constant__ DecoderArguments a) {
  LetNextBegin();
  const FrameDecoder::Frame& frame = a.frames[blockIdx.x];
  const std::byte* const lengths = a.bytes + frame.indices;
  uint64_t* const at = a.block_at + frame.first_block;
  for (uint32_t i = threadIdx.x; i < frame.blocks; i += kThreads) {
    at[i] = LoadBytes<2>(lengths + 2 * i);
  }
  __syncthreads();
  const uint64_t total = BlockScanInPlace<kThreads>(at, frame.blocks);
  if (threadIdx.x == 0 && 2 * frame.blocks + total != frame.index_bytes) {
    MarkBad(a);
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
        shift_(skip % 32),
        first_(next_),
        skipped_(shift_) {}

  // The next 32 bits.
  __device__ uint32_t Peek() const { return __funnelshift_r(low_, high_, shift_); }
  // At most 32.
  __device__ void Drop(unsigned bits) {
    shift_ += bits;
    if (shift_ < 32) return;
    shift_ -= 32;
    low_ = high_;
    high_ = ahead_;
    ahead_ = *next_++;
  }
  // Those that were dropped.
  __device__ uint32_t taken() const {
    return 32 * static_cast<uint32_t>(next_ - first_) + shift_ - skipped_;
  }

 private:
  const uint32_t* next_;
  uint32_t low_;
  uint32_t high_;
  uint32_t ahead_;
  unsigned shift_;
  const uint32_t* const first_;
  const unsigned skipped_;
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
// Codes that are read before it is looked at whether their bits were there.
constexpr uint32_t kUnchecked = 8;
static_assert(FrameDecoder::kReadAheadBytes >= 32 + kUnchecked * kMaxCodeBits / 8);

__global__ __launch_bounds__(kWarp) void ReadGaps(const __grid_constant__ DecoderArguments a) {
  LetNextBegin();
  WaitForPrevious();
  __shared__ uint32_t staged[kStagedWords];
  __shared__ uint32_t offsets[kBlockEntries * kOffsetStride];
  const FrameDecoder::Frame& frame = a.frames[blockIdx.y];
  const uint32_t first = blockIdx.x * kWarp;
  // In a frame that is not bad, blocks end where the indices do, if not before.
  if (first >= frame.blocks || IsBad(a)) return;
  const uint32_t in_warp = min(uint32_t{kWarp}, frame.blocks - first);
  const int lane = threadIdx.x;
  const bool mine = lane < in_warp;
  const uint32_t b = first + min(static_cast<uint32_t>(lane), in_warp - 1);
  const CodeBlock block = BlocksOf(a, frame)[b];
  const std::byte* const indices = a.bytes + frame.indices;
  const uint32_t length = LoadBytes<2>(indices + 2 * b);
  const uint32_t at = 2 * frame.blocks + static_cast<uint32_t>(a.block_at[frame.first_block + b]);
  const uint32_t begin = __shfl_sync(kAllLanes, at, 0) & ~3u;  // the indices are aligned
  const uint32_t end = __shfl_sync(kAllLanes, at + length, in_warp - 1);
  // And what a reader looks at behind the last byte: a head, a code and its word ahead.
  const uint32_t words = (end - begin + 3) / 4 + kAheadWords;
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
  bool good = true;
  if (mine) {
    BitReader reader(stage ? staged : source, 8 * (at - begin));
    BlockCode code = Plain(0);
    const uint32_t head = reader.Peek();
    code.parameter = LowBits(head, kParameterBits);
    if (head >> kParameterBits & 1) {
      code = Clusters(code.parameter, LowBits(head >> kHeadBits, kWidthBits) + 1);
    }
    reader.Drop(code.head_bits());
    for (uint32_t i = 0; i < block.count && reader.taken() <= 8 * length;) {
      for (const uint32_t stop = min(i + kUnchecked, block.count); i < stop; ++i) {
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
      }
    }
    // All bits were there, and what is left is less than a byte and zero.
    const uint32_t taken = reader.taken();
    good = taken <= 8 * length && 8 * length - taken < 8 &&
           LowBits(reader.Peek(), 8 * length - taken) == 0 && next <= frame.elements;
  }
  if (mine) {
    if (!good) MarkBad(a);
    a.spans[frame.first_block + b] = good ? next : 0;
  }
  __syncwarp();
  for (uint32_t j = 0; j < in_warp; ++j) {
    const uint32_t count = __shfl_sync(kAllLanes, block.count, j);
    uint32_t* const to = OffsetsOf(a, frame, first + j);
#pragma unroll
    for (uint32_t i = 0; i < kEach; ++i) {
      const uint32_t entry = lane + kWarp * i;
      if (entry < count) to[entry] = offsets[entry * kOffsetStride + j];
    }
  }
}

// The sum is made in pieces, each by a block of threads.
constexpr uint32_t kSumElements = 8192;

// The element that each block's offsets count from, and which blocks lie in which piece.
__global__ __launch_bounds__(kThreads) void FindOrigins(
    const __grid_constant__ DecoderArguments a) {
  LetNextBegin();
  WaitForPrevious();
  const FrameDecoder::Frame& frame = a.frames[blockIdx.x];
  const uint64_t* const origins = a.spans + frame.first_block;
  const uint64_t total = BlockScanInPlace<kThreads>(a.spans + frame.first_block, frame.blocks);
  if (threadIdx.x == 0 && total > frame.elements) MarkBad(a);
  uint32_t* const before = a.blocks_before + size_t{a.pieces + 1} * blockIdx.x;
  // Of bad frames, origins may be anything, and nothing need be summed up.
  if (__syncthreads_or(IsBad(a))) {
    for (uint32_t i = threadIdx.x; i <= a.pieces; i += kThreads) before[i] = 0;
    return;
  }
  const auto pieces_to = [&](uint32_t b) {  // that begin before block b does, or with it
    return static_cast<uint32_t>(min(origins[b], uint64_t{frame.elements}) / kSumElements + 1);
  };
  for (uint32_t b = threadIdx.x; b < frame.blocks; b += kThreads) {
    const uint32_t end = min(pieces_to(b), a.pieces);
    for (uint32_t i = b > 0 ? pieces_to(b - 1) : 0; i < end; ++i) before[i] = b;
  }
  const uint32_t begun = frame.blocks > 0 ? min(pieces_to(frame.blocks - 1), a.pieces) : 0;
  for (uint32_t i = begun + threadIdx.x; i <= a.pieces; i += kThreads) before[i] = frame.blocks;
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

// The sum of all frames by the divisor for kSumElements elements, in shared memory: the gradient
// is written once and not read. First, each warp lists the entries of a frame that lie here; then
// they are added, frame after frame. Elements of one frame are distinct. Where entries are too
// dense for the lists, the frames are gone through one by one.
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
    const uint32_t* const offsets = OffsetsOf(a, frame, b);
    const std::byte* const in = a.bytes + frame.values + block.values_at;
    uint32_t offset[kEach];
#pragma unroll
    for (uint32_t j = 0; j < kEach; ++j) offset[j] = offsets[lane + kWarp * j];
    uint64_t elements[kEach];
#pragma unroll
    for (uint32_t j = 0; j < kEach; ++j) {
      elements[j] = lane + kWarp * j < block.count ? origin + offset[j] : UINT64_MAX;
    }
#pragma unroll
    for (uint32_t j = 0; j < kEach; ++j) {
      const bool here = elements[j] >= low && elements[j] < high;
      float value = 0;
      if (here && !TakeValue<kFormat>(in, lane + kWarp * j, block.count, &value)) MarkBad(a);
      visit(here, static_cast<uint32_t>(elements[j] - low), value);
    }
  }
}

struct SumArguments {
  DecoderArguments decoder;
  uint32_t frames;
  uint32_t elements;
  float divisor;
  float* dense;
};

template <ValueFormat kFormat>
__global__ __launch_bounds__(kSumThreads) void SumFrames(const __grid_constant__ SumArguments s) {
  const DecoderArguments& a = s.decoder;
  __shared__ float4 sums[kSumElements / 4];
  __shared__ uint16_t listed_elements[kSumFrames][kListed];
  __shared__ float listed_values[kSumFrames][kListed];
  __shared__ uint32_t listed[kSumFrames];
  __shared__ uint2 blocks[kSumFrames];  // of each frame: those that reach into these elements
  float* const sum = reinterpret_cast<float*>(sums);
  const uint32_t warp = threadIdx.x / kWarp;
  const int lane = threadIdx.x % kWarp;
  const uint32_t low = blockIdx.x * kSumElements;
  const uint32_t high = low + min(kSumElements, s.elements - low);
  for (uint32_t i = threadIdx.x; i < kSumElements / 4; i += kSumThreads) {
    sums[i] = make_float4(0, 0, 0, 0);
  }
  WaitForPrevious();
  for (uint32_t first = 0; first < s.frames; first += kSumFrames) {
    const uint32_t in_turn = min(kSumFrames, s.frames - first);
    uint32_t count = 0;
    if (warp < in_turn) {
      const uint32_t f = first + warp;
      const uint32_t* const before = a.blocks_before + size_t{a.pieces + 1} * f + blockIdx.x;
      // The last one that begins before may reach into these elements.
      const uint2 range = {before[0] > 0 ? before[0] - 1 : 0, before[1]};
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
  bool finite = true;
  const auto divided = [&](float total) {
    const float quotient = __fdiv_rn(total, s.divisor);
    finite &= MagnitudeBits(quotient) <= __float_as_uint(FLT_MAX);
    return quotient;
  };
  if (high - low == kSumElements) {
    float4* const to = reinterpret_cast<float4*>(s.dense + low);
    for (uint32_t i = threadIdx.x; i < kSumElements / 4; i += kSumThreads) {
      const float4 four = sums[i];
      __stcs(to + i,
             make_float4(divided(four.x), divided(four.y), divided(four.z), divided(four.w)));
    }
  } else {
    for (uint32_t i = threadIdx.x; i < high - low; i += kSumThreads) {
      s.dense[low + i] = divided(sum[i]);
    }
  }
  if (!finite) a.findings->not_finite = 1;
}

uint32_t CeilDiv(uint32_t a, uint32_t b) { return a / b + (a % b != 0); }

}  // namespace

Status FrameDecoder::SumUploaded(float* dense, float divisor, cudaStream_t stream) {
  const uint32_t pieces = CeilDiv(elements_, kSumElements);
  const auto count = static_cast<uint32_t>(frames_.size());
  CDDP_RETURN_IF_ERROR(blocks_before_.Make(size_t{pieces + 1} * count));
  const DecoderArguments a{.frames = reinterpret_cast<const Frame*>(uploaded_.data()),
                           .bytes = uploaded_.data(),
                           .offsets = offsets_.data(),
                           .spans = spans_.data(),
                           .block_at = block_at_.data(),
                           .blocks_before = blocks_before_.data(),
                           .pieces = pieces,
                           .findings = findings_.data()};
  CDDP_RETURN_IF_ERROR(
      StatusOf(cudaMemsetAsync(findings_.data(), 0, sizeof(Findings), stream), "decoding"));
  if (!overlaps_.has_value()) overlaps_ = CanOverlap(FindBlocks);
  FindBlocks<<<count, kThreads, 0, stream>>>(a);
  if (most_blocks_ > 0) {
    Launch(ReadGaps, dim3(CeilDiv(most_blocks_, kWarp), count), kWarp, *overlaps_, stream, a);
  }
  Launch(FindOrigins, dim3(count), kThreads, *overlaps_, stream, a);
  if (elements_ > 0) {
    const SumArguments sum{
        .decoder = a, .frames = count, .elements = elements_, .divisor = divisor, .dense = dense};
    ForValues(value_format_, [&]<ValueFormat kFormat>() {
      Launch(SumFrames<kFormat>, dim3(pieces), kSumThreads, *overlaps_, stream, sum);
    });
  }
  CDDP_RETURN_IF_ERROR(StatusOf(cudaGetLastError(), "decoding"));
  return StatusOf(cudaMemcpyAsync(found_.data(), findings_.data(), sizeof(Findings),
                                  cudaMemcpyDeviceToHost, stream),
                  "decoding");
}

}  // namespace cddp::cuda

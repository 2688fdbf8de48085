// What of encoding and decoding on the device is done by the host.
#include "core/cuda/frame_codec.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "core/frame_layout.h"
#include "core/index_codec.h"
#include "core/runs.h"
#include "core/value_codec.h"

namespace cddp::cuda {

bool CodesOnDevice(ValueFormat format) {
  return format == ValueFormat::kFp32 || format == ValueFormat::kBf16 ||
         format == ValueFormat::kInt8 || format == ValueFormat::kInt4;
}

std::vector<CodeBlock> CodeBlocksOf(std::span<const size_t> run_ends, ValueFormat values) {
  const ValueCodec& codec = *ValueCodecOf(values);
  std::vector<CodeBlock> blocks;
  size_t at = 0;
  size_t begin = 0;
  for (size_t p = 0; p < run_ends.size(); ++p) {
    for (; begin < run_ends[p]; begin += blocks.back().count) {
      const size_t count = std::min(kBlockEntries, run_ends[p] - begin);
      blocks.push_back({static_cast<uint32_t>(p), static_cast<uint32_t>(begin),
                        static_cast<uint32_t>(count), static_cast<uint32_t>(at)});
      at += codec.BlockBytes(count);
    }
  }
  return blocks;
}

Status FrameEncoder::Prepare(const BucketSelection& selection, ValueFormat values,
                             cudaStream_t stream) {
  values_ = values;
  std::vector<size_t> run_ends;
  uint64_t elements = 0;
  for (const Parameter& parameter : selection.parameters()) {
    run_ends.push_back(size_t{parameter.taken_at} + parameter.k);
    elements += parameter.count;
  }
  const std::vector<CodeBlock> blocks = CodeBlocksOf(run_ends, values);
  blocks_ = static_cast<uint32_t>(blocks.size());
  value_bytes_ = 0;
  if (!blocks.empty()) {
    value_bytes_ = blocks.back().values_at +
                   static_cast<uint32_t>(ValueCodecOf(values)->BlockBytes(blocks.back().count));
  }
  max_bytes_ =
      RiceBlocksCodec().MaxBytes(selection.entries(), static_cast<uint32_t>(elements), blocks_) +
      value_bytes_;
  CDDP_RETURN_IF_ERROR(code_blocks_.Fill(blocks, stream));
  CDDP_RETURN_IF_ERROR(codes_.Make(blocks_));
  CDDP_RETURN_IF_ERROR(block_at_.Make(blocks_));
  CDDP_RETURN_IF_ERROR(arrived_.MakeZero(1, stream));
  return payload_.Make(max_bytes_);
}

namespace {

// What lies behind each other in one upload, each from a multiple of 16 bytes on.
class Layout {
 public:
  size_t Add(size_t bytes) {
    const size_t at = size_;
    size_ += (bytes + 15) & ~size_t{15};
    return at;
  }
  size_t size() const { return size_; }

 private:
  size_t size_ = 0;
};

}  // namespace

Status FrameDecoder::Upload(std::span<const FrameView> frames, cudaStream_t stream) {
  Layout layout;
  ids_.clear();
  frames_.clear();
  std::vector<std::vector<CodeBlock>> blocks;
  uint32_t entries = 0;
  uint32_t block_count = 0;
  most_blocks_ = 0;
  value_format_ = frames.front().value_format;
  elements_ = frames.front().id.elements;
  layout.Add(frames.size() * sizeof(Frame));
  for (const FrameView& view : frames) {
    const FrameView& first = frames.front();
    if (view.index_format != IndexFormat::kRiceBlocks || !CodesOnDevice(view.value_format) ||
        view.value_format != first.value_format || view.id.elements != first.id.elements) {
      return Status::InvalidArgument(fmt::format(
          "the frame of rank {} is not of those that a GPU decodes together: index codec "
          "rice-blocks and one of the value codecs fp32, bf16, int8 and int4; all ranks must be "
          "given the same options",
          view.id.rank));
    }
    ids_.push_back(view.id);
    blocks.push_back(CodeBlocksOf(FrameRunEnds(view), view.value_format));
    frames_.push_back({.elements = view.id.elements,
                       .entries = view.entries,
                       .blocks = static_cast<uint32_t>(blocks.back().size()),
                       .first_entry = entries,
                       .first_block = block_count,
                       .code_blocks = layout.Add(blocks.back().size() * sizeof(CodeBlock)),
                       .indices = layout.Add(view.indices.size()),
                       .index_bytes = static_cast<uint32_t>(view.indices.size()),
                       .values = layout.Add(view.values.size())});
    entries += view.entries;
    block_count += frames_.back().blocks;
    most_blocks_ = std::max(most_blocks_, frames_.back().blocks);
  }
  layout.Add(kReadAheadBytes);
  CDDP_RETURN_IF_ERROR(staging_.Make(layout.size()));
  CDDP_RETURN_IF_ERROR(uploaded_.Make(layout.size()));
  CDDP_RETURN_IF_ERROR(offsets_.Make(entries));
  CDDP_RETURN_IF_ERROR(spans_.Make(block_count));
  CDDP_RETURN_IF_ERROR(block_at_.Make(block_count));
  CDDP_RETURN_IF_ERROR(bad_.Make(1));
  CDDP_RETURN_IF_ERROR(bad_frames_.Make(1));
  const auto stage = [this](size_t at, const void* from, size_t bytes) {
    if (bytes > 0) std::memcpy(staging_.data() + at, from, bytes);
  };
  stage(0, frames_.data(), frames_.size() * sizeof(Frame));
  for (size_t f = 0; f < frames.size(); ++f) {
    stage(frames_[f].code_blocks, blocks[f].data(), blocks[f].size() * sizeof(CodeBlock));
    stage(frames_[f].indices, frames[f].indices.data(), frames[f].indices.size());
    stage(frames_[f].values, frames[f].values.data(), frames[f].values.size());
  }
  return StatusOf(cudaMemcpyAsync(uploaded_.data(), staging_.data(), layout.size(),
                                  cudaMemcpyHostToDevice, stream),
                  "copying frames to the device");
}

Status FrameDecoder::Check(cudaStream_t stream) {
  CDDP_RETURN_IF_ERROR(StatusOf(cudaStreamSynchronize(stream), "decoding"));
  for (size_t f = 0; f < ids_.size(); ++f) {
    if ((*bad_frames_ >> std::min<size_t>(f, 31) & 1) == 0) continue;
    return Status::Corrupt(fmt::format(
        "frame of rank {}, step {}, bucket {}: its indices or values are not what an encoder "
        "writes",
        ids_[f].rank, ids_[f].step, ids_[f].bucket));
  }
  return Status::Ok();
}

}  // namespace cddp::cuda

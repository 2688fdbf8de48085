// What of decoding is done by the host.
#include "core/cuda/frame_decoder.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <limits>

#include "core/cuda/code_blocks.h"
#include "core/frame_layout.h"

namespace cddp::cuda {
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
  frames_.clear();
  std::vector<std::vector<CodeBlock>> blocks;
  uint64_t entries = 0;
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
    blocks.push_back(CodeBlocksOf(FrameRunEnds(view), view.value_format));
    frames_.push_back({.elements = view.id.elements,
                       .blocks = static_cast<uint32_t>(blocks.back().size()),
                       .first_block = block_count,
                       .code_blocks = layout.Add(blocks.back().size() * sizeof(CodeBlock)),
                       .indices = layout.Add(view.indices.size()),
                       .index_bytes = static_cast<uint32_t>(view.indices.size()),
                       .values = layout.Add(view.values.size())});
    entries += view.entries;
    block_count += frames_.back().blocks;
    most_blocks_ = std::max(most_blocks_, frames_.back().blocks);
  }
  if (entries > std::numeric_limits<uint32_t>::max()) {
    return Status::InvalidArgument(
        fmt::format("{} entries of all ranks are too many to be summed up on a GPU at once; use "
                    "smaller buckets",
                    entries));
  }
  layout.Add(kReadAheadBytes);
  CDDP_RETURN_IF_ERROR(staging_.Make(layout.size()));
  CDDP_RETURN_IF_ERROR(uploaded_.Make(layout.size()));
  CDDP_RETURN_IF_ERROR(offsets_.Make(size_t{kBlockEntries} * block_count));
  CDDP_RETURN_IF_ERROR(spans_.Make(block_count));
  CDDP_RETURN_IF_ERROR(block_at_.Make(block_count));
  CDDP_RETURN_IF_ERROR(findings_.Make(1));
  CDDP_RETURN_IF_ERROR(found_.Make(1));
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

Status FrameDecoder::Wait(cudaStream_t stream, bool* good, bool* finite) {
  CDDP_RETURN_IF_ERROR(StatusOf(cudaStreamSynchronize(stream), "decoding"));
  *good = found_->bad == 0;
  *finite = found_->not_finite == 0;
  return Status::Ok();
}

}  // namespace cddp::cuda

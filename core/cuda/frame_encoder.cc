// What of encoding is done by the host.
#include "core/cuda/frame_encoder.h"

#include "core/cuda/code_blocks.h"
#include "core/index_codec.h"
#include "core/value_codec.h"

namespace cddp::cuda {

Status FrameEncoder::Prepare(const BucketSelection& selection, ValueFormat values,
                             cudaStream_t stream) {
  values_ = values;
  overlaps_ = selection.overlaps();
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

}  // namespace cddp::cuda

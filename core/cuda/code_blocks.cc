#include "core/cuda/code_blocks.h"

#include <algorithm>

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

}  // namespace cddp::cuda

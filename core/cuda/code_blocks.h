// What the host knows of frames that are coded on the device, before they are.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "cddp/frame.h"
#include "core/cuda/bucket_layout.h"

namespace cddp::cuda {

// fp32, bf16, int8 or int4.
bool CodesOnDevice(ValueFormat format);

// The blocks of runs of entries, one for each parameter.
std::vector<CodeBlock> CodeBlocksOf(std::span<const size_t> run_ends, ValueFormat values);

}  // namespace cddp::cuda

// The triad: two streams of floats read, one written, and nothing else done. It is
// what the memory lets an error-feedback sweep take at the least (McCalpin's STREAM,
// 1995; e = g + a e reads and writes what a residual does).
#pragma once

#include <span>

#include "core/worker_pool.h"

namespace cddp {

enum class Stores {
  kPlain,
  kStreaming,  // past the cache
};

// to = g + a * e with SIMD on all workers of the pool; `to` may be `e`. All of one
// size and aligned to 64 bytes.
void Triad(std::span<const float> g, float a, std::span<const float> e, std::span<float> to,
           Stores stores, WorkerPool& pool);

}  // namespace cddp

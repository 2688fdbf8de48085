// What kernels know of a bucket: its parameters, the tiles that cover their elements and
// the blocks that their entries are coded in. All of it is known before the gradients
// are, since every parameter sends exactly k entries.
#pragma once

#include <cstdint>

namespace cddp::cuda {

enum class MemoryKind { kNone, kResidual, kDgc };

// A bucket's memory before and after the step, an element for each of the bucket.
struct States {
  const float* residual_old = nullptr;
  float* residual_next = nullptr;
  const float* velocity_old = nullptr;  // of dgc
  float* velocity_next = nullptr;
};

struct Parameter {
  uint32_t offset = 0;  // in the bucket, in elements
  uint32_t count = 0;
  uint32_t k = 0;         // entries that are taken
  uint32_t taken_at = 0;  // the first of them in the bucket's
  uint32_t first_tile = 0;
  uint32_t tiles = 0;
  uint32_t chunks = 0;         // of candidates
  uint32_t capacity = 0;       // candidates that there is room for
  uint64_t candidates_at = 0;  // the first of them

  constexpr bool whole() const { return k == count; }
};

// Elements of one parameter that a block of threads sweeps: [low, high) in the bucket, from
// `begin` on, a multiple of 4, at most kTileElements.
inline constexpr uint32_t kTileElements = 4096;
struct alignas(16) Tile {
  uint32_t parameter;
  uint32_t begin;
  uint32_t low;
  uint32_t high;
};

// Candidates of one parameter that a block of threads ranks: so many from the `begin`-th on, and
// where its blocks have not got all of them so, again as many behind those of the last.
inline constexpr uint32_t kChunkCandidates = 4096;
struct Chunk {
  uint32_t parameter;
  uint32_t begin;
};

// Entries of one parameter that are coded together (core/runs.h).
struct CodeBlock {
  uint32_t parameter;
  uint32_t begin;      // of the bucket's entries
  uint32_t count;      // 1 to 256
  uint32_t values_at;  // bytes from the start of the values
};

}  // namespace cddp::cuda

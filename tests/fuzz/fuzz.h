// What the fuzz targets and the test of their corpus do with bytes. Each aborts when
// something gets through that a decoder must not see.
#pragma once

#include <cstdint>
#include <span>

#include "core/index_codec.h"

namespace cddp {

// A frame: as it is, and with its checksum made right (or only XXH3 would be tested).
// What is accepted has indices in range and finite values.
void FuzzFrame(std::span<const uint8_t> bytes);

// Two bytes of entries, two of elements, the rest an index stream in blocks of one run.
// What is read ascends and stays in range. Indices that are read whole are encoded and
// read again.
void FuzzIndices(const IndexCodec& codec, std::span<const uint8_t> bytes);

}  // namespace cddp

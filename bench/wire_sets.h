// Entries to encode.
//
//   uniform    indices drawn by chance
//   clustered  patches of 64 elements of which half have an entry, at random places
//   real       what a compressor with memory residual sends of recorded gradients
//              (trainer/gradient_recording.h) in the last recorded step, the small
//              parameters that go whole included
//
// The values of the first two have magnitudes as those of the largest share of normally
// distributed ones; their parameters are of 2^20 elements each.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "bench/distributions.h"
#include "cddp/selection.h"

namespace cddp {

struct WireSet {
  uint32_t elements = 0;
  Selection selection;
  std::vector<size_t> run_ends;
};

std::vector<std::string> WireSetNames();

// `elements` is not for real, whose recording has a size; `recording` is for real only.
WireSet MakeWireSet(const std::string& name, uint32_t elements, double ratio, uint64_t seed,
                    const Recording* recording);

}  // namespace cddp

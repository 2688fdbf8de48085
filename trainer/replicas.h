// Whether all workers have the same model.
#pragma once

#include <cstdint>

#include "ddp/engine.h"
#include "ddp/world.h"

namespace cddp {

// XXH3-64 of the parameters and of the buffers as they were evaluated with, the same on all
// ranks. Collective. Throws SharedError(kInternal) with the number of ranks that have others
// than rank 0.
uint64_t RequireIdenticalReplicas(const DdpEngine& engine, World& world);

}  // namespace cddp

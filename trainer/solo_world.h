// One worker's work while the others wait for it.
#pragma once

#include <functional>

#include "ddp/world.h"

namespace cddp {

// Rank 0 does `work` in a World of its own, however long it takes; the others wait, and look
// out for lost peers as always. Collective. When `work` throws, all throw SharedError of the
// same code, rank 0 with its message.
void OnRankZeroAlone(World& world, const std::function<void(World&)>& work);

}  // namespace cddp

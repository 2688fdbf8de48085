// What one worker does while the others wait for it, and what all learn of how it went.
#pragma once

#include <functional>

#include "ddp/world.h"

namespace cddp {

// Rank 0 does `work`, which takes no longer than World::collective_timeout. Collective. When
// `work` throws, all throw SharedError of the same code and message.
void OnRankZero(World& world, const std::function<void()>& work);

// Rank 0 does `work` in a World of its own, however long it takes; the others wait, and look
// out for lost peers as always. Collective. When `work` throws, all throw SharedError of the
// same code and message.
void OnRankZeroAlone(World& world, const std::function<void(World&)>& work);

}  // namespace cddp

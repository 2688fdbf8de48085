// What all ranks take from rank 0.
#pragma once

#include <cstddef>
#include <span>

#include "cddp/status.h"
#include "cddp/transport.h"

namespace cddp {

// Gives every rank rank 0's bytes: as many everywhere. Collective.
Status BroadcastFromRank0(Transport* transport, std::span<std::byte> message);

// Gives every rank rank 0's value. Collective.
Status AgreeWithRank0(Transport* transport, bool* value);

}  // namespace cddp

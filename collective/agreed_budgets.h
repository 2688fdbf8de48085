// Budgets of the parameters (cddp/budget.h) that all ranks plan alike.
#pragma once

#include <cstdint>

#include "cddp/compressor.h"
#include "cddp/status.h"
#include "cddp/transport.h"

namespace cddp {

// When budgets are due at this step, sends every rank's gradient energies to every rank,
// sums them in rank order and has the compressor share the entries out. Collective.
Status AgreeOnBudgets(uint64_t step, Transport* transport, Compressor* compressor);

}  // namespace cddp

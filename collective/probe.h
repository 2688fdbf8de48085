// The probe of `auto`: measures what the cost model needs.
#pragma once

#include "cddp/compressor.h"
#include "cddp/transport.h"
#include "collective/cost_model.h"

namespace cddp {

// Measures with all ranks at once, as they will work: latency and bandwidth of exchanges
// by their size, the dense allreduce by its size, selection and codec with `options`.
// Sizes grow until a measurement takes long; so a slow network takes some hundred
// milliseconds, a fast one sends more. The numbers of rank 0 are those to use.
// Collective. Takes 105 MB at two ranks for the time being.
Status Probe(Transport* transport, const CompressorOptions& options, MachineCosts* costs);

}  // namespace cddp

// The machine that a report was made on.
#pragma once

#include <nlohmann/json.hpp>

namespace cddp {

// processor, cores, cpu_features (those that decide which kernels run) and simd
// (the instruction set of this library's sweeps), added to the Versions().
nlohmann::json MachineDescription();

}  // namespace cddp

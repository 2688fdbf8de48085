// Tables of what `cddp bench select` measured.
#pragma once

#include <nlohmann/json.hpp>
#include <span>
#include <string>

#include "bench/select_case.h"

namespace cddp {

// Times are in milliseconds, `second_sweep_fraction` a share of steps, the rest are
// ratios of times; null where a peer was left out.
nlohmann::json SelectRow(const SelectCase& c, const SelectTimes& times);

std::string TableHeader();
std::string TableLine(const nlohmann::json& row);

std::span<const char* const> SelectColumns();

}  // namespace cddp

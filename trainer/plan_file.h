// Plans of `auto` (cddp/plan.h) as JSON files: kept with a run, given back with --plan.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "cddp/plan.h"

namespace cddp {

nlohmann::json ToJson(const Plan& plan);

// Throws StatusError(kCorrupt) naming `source` and what in it is not as it should be.
Plan PlanFromJson(const nlohmann::json& json, const std::string& source);

// Throws StatusError: kUnavailable when the file cannot be read, kCorrupt naming what in it
// is not as it should be.
Plan ReadPlan(const std::string& path);

}  // namespace cddp

// What a run left in its folder, as far as pictures need it. Any thread.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "trainer/history.h"

namespace cddp {

// The epochs of a history.json. What was not finite is NaN. Throws StatusError(kCorrupt),
// naming `where` and the place in it, for what is missing, of the wrong type or out of
// range, and when there is no epoch.
std::vector<EpochRecord> ParseHistory(const nlohmann::json& history, const std::string& where);

// What a summary.json says of the run, without the history; no evaluations where an earlier
// version wrote none. Throws StatusError(kCorrupt).
TrainingSummary ParseSummary(const nlohmann::json& summary, const std::string& where);

// "top 1%" or "dense".
std::string WhatIsSent(const TrainingSummary& summary);

}  // namespace cddp

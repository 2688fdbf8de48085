// What the page of a report shows: the runs, told apart and compared as far as they can be.
//
// Any thread.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace cddp {

// {"title", "notices": [text], "runs": [see read_run.h]} where
//
// - every label is there once: equal ones get the folder's name, then a number;
// - notices are those given, what can't be compared, and which runs did not come to their end;
// - "comparison" of runs that come from no comparison.json is to the first run of the same
//   data set and model: {"reference": its label, "speedup": its mean time of an epoch / this
//   run's, "accuracy_difference_percent": this - its, "tx_bytes_reduction": its / this}; null
//   for what is not known, and for a run that has no other to be compared to.
nlohmann::json ReportData(std::vector<nlohmann::json> runs, std::vector<std::string> notices = {});

}  // namespace cddp

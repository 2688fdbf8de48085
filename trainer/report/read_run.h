// Runs as the page of a report wants them, from their folders.
//
// A run is an object:
//
//   label       text; the folder's name, or what the comparison calls it
//   folder      text
//   config      config.json
//   summary     summary.json without its history; empty when no epoch has ended
//   epochs      see EpochCurves
//   steps       see StepCurve, or null
//   layers      [{name, elements, sent_fraction, residual_norm}], or null
//   test        see ReadTestResult, or null
//   plan        plan.json, or null
//   comparison  what comparison.json says of it besides, or null
//
// Any thread.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <vector>

namespace cddp {

// The run of a folder that holds config.json. Throws StatusError, naming file and place:
// kUnavailable for what can't be read, kCorrupt for what is cut or of another version.
nlohmann::json ReadRun(const std::filesystem::path& folder);

// The runs of a run folder, which is one, or of a comparison's. Where a compared run's folder
// is gone, what comparison.json keeps of it has to do, and a warning is logged. Throws
// StatusError: as ReadRun, kUnavailable when there is no folder, kInvalidArgument when it is
// neither of the two.
std::vector<nlohmann::json> ReadRuns(const std::filesystem::path& folder);

}  // namespace cddp

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

#include "cddp/status.h"

namespace cddp {

struct FolderRuns {
  std::vector<nlohmann::json> runs;
  std::vector<Status> errors;  // of what they lack, and of runs that can't be shown
};

// The runs of a run folder, which is one, or of a comparison's. Where a compared run's folder
// is gone or damaged, what comparison.json keeps of it has to do, and a warning is logged or the
// error kept. Errors name file and place: kUnavailable for what can't be read, kCorrupt for what
// is cut or of another version, kInvalidArgument for a run that has nothing to show yet.
//
// Throws StatusError: these where there is one run, kUnavailable when there is no such folder,
// kInvalidArgument when it is neither of the two.
FolderRuns ReadRuns(const std::filesystem::path& folder);

}  // namespace cddp

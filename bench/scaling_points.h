// What `cddp scaling` starts from: synchronisations measured by `cddp bench sync`.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

namespace cddp {

// One measured number of workers with one collective. Times are medians over steps.
struct SyncPoint {
  std::string source;                 // where it comes from, for messages: a file and its row
  std::string collective;             // one of ScalingCollectives()
  int workers = 1;                    // at least 1
  double sync_ms = 0;                 // of synchronising the gradient
  double step_ms = 0;                 // of the whole step, above 0
  double compute_ms = 0;              // of forward and backward, in the step
  double tx_bytes = 0;                // sent by one worker in a step
  int64_t parameters = 0;             // elements of the gradient
  std::optional<double> link_mbit_s;  // of a worker's link; empty where that is not known
  nlohmann::json report;              // as it was measured, other keys included
};

// dense, gather, split, auto.
const std::vector<std::string>& ScalingCollectives();

// "1gbit" in Mbit/s, as scripts/lab.sh takes rates; empty for "none": links that are not shaped.
// Throws StatusError(kInvalidArgument) that begins with `where`.
std::optional<double> LinkMbitS(const std::string& rate, const std::string& where);

// The points of a report of `cddp bench sync`: one object, or several under "rows",
// where keys beside "rows" belong to each. Needed are collective, world_size,
// sync_ms_median, step_ms_median, compute_ms, tx_bytes_per_step and parameters; with
// more than one worker time and bytes must be above 0. "rate" may say that of the links. Throws
// StatusError, naming `source` and the key: kCorrupt for what is missing, of another type or
// out of range, kInvalidArgument for an unknown collective or rate.
std::vector<SyncPoint> ParseSyncPoints(const nlohmann::json& report, const std::string& source);

// The same from a file. Throws besides kUnavailable, and kCorrupt when it is no JSON.
std::vector<SyncPoint> ReadSyncPoints(const std::string& file);

// Throws StatusError(kInvalidArgument), naming both files and the key, unless all points
// agree in parameters and, where both have them, in shapes and rate; those of one
// collective in ratio, values and memory as well; and unless each collective with more
// than one worker has points at two such numbers or more. One worker exchanges nothing:
// its points are what speed-ups are relative to.
void RequireComparable(const std::vector<SyncPoint>& points);

}  // namespace cddp

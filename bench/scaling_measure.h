// Measures the points of `cddp scaling`: runs `cddp bench sync` for each case.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "bench/scaling_points.h"

namespace cddp {

struct ScalingMeasurement {
  std::vector<int> workers = {1, 2, 4, 8};
  std::vector<std::string> collectives = {"dense", "split"};

  // Handed on to bench sync, which has its own defaults.
  std::optional<std::string> shapes;
  std::optional<double> compute_ms;
  std::optional<int> steps;
  std::optional<double> ratio;
  std::optional<std::string> values;
  std::optional<std::string> memory;
  std::optional<std::string> interface;

  // What starts the program on all workers, such as "scripts/lab.sh run -n {P} --":
  // words split at spaces, {P} replaced by the number of workers. Empty: bench sync
  // starts them on this machine.
  std::string launcher;

  std::string program = "/proc/self/exe";
};

// Throws StatusError(kInvalidArgument), naming the flag, for numbers of workers out of
// [1, 1024], fewer than two above 1, an unknown collective, or a launcher without {P}.
void CheckMeasurement(const ScalingMeasurement& measurement);

// argv of one case.
std::vector<std::string> SyncCommand(const ScalingMeasurement& measurement,
                                     const std::string& collective, int workers,
                                     const std::string& json);

// Runs all cases, one after the other, in this process's folder; logs each before it
// starts, and hands its points to `take` when it has ended. One worker is measured with dense only:
// it has no one to compress for. Throws StatusError: kUnavailable when a case ends otherwise than
// with exit code 0 or takes longer than an hour, or as ParseSyncPoints does. Blocks, minutes.
void MeasureSyncPoints(const ScalingMeasurement& measurement,
                       const std::function<void(SyncPoint)>& take);

}  // namespace cddp

// `cddp scaling`: how training scales with the number of workers, measured and projected.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

#include "bench/outputs.h"
#include "bench/scaling_measure.h"
#include "bench/scaling_projection.h"

namespace cddp {

struct ScalingOptions {
  std::vector<std::string> points;  // files; empty: measure
  std::string rate;                 // of the links, where points do not say it
  ScalingMeasurement measurement;
  std::string save_points;  // file
  ScalingSettings settings;
  BenchOutputs outputs;
  std::string plot;  // PNG file
};

void AddScalingOptions(CLI::App* app, ScalingOptions* options);

// Reads or measures the points, prints the table and writes what was asked for. Returns
// the exit code or throws StatusError. Without gnuplot everything but the picture is
// written before it throws.
int Scaling(const ScalingOptions& options);

}  // namespace cddp

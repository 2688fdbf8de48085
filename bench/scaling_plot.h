// The pictures of `cddp scaling`: speed-up, efficiency, and what a step consists of; and, as
// FILE-bandwidth.png, steps over other bandwidths.
#pragma once

#include <filesystem>
#include <string>

#include "bench/scaling_report.h"

namespace cddp {

// Writes FILE.dat (what is drawn, in named blocks) and FILE.gp (how) beside FILE.png, and
// draws it: `cd FOLDER && gnuplot FILE.gp` does it again. Throws StatusError:
// kInvalidArgument unless the name ends in .png; kUnavailable when a file cannot be
// written or gnuplot is not there, naming the package: the other two files are written
// all the same.
void PlotScaling(const ScalingReport& report, const std::filesystem::path& png);

// What the two files hold, for a picture named STEM.png.
std::string ScalingPlotData(const ScalingReport& report);
std::string ScalingPlotScript(const ScalingReport& report, const std::string& stem);

}  // namespace cddp

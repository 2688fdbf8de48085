// The picture of a comparison: accuracy over epochs, over the time of training and over what
// was sent, and the time of a step.
#pragma once

#include <filesystem>

#include "trainer/comparison.h"
#include "trainer/plots/gnuplot.h"

namespace cddp {

// Draws comparison.png into the folder, from its comparison.json. Returns its path. Throws
// StatusError: as ReadComparison and DrawPictures.
std::filesystem::path WriteComparisonPlot(const std::filesystem::path& folder);

// Throws StatusError: kUnavailable when the file cannot be read; kCorrupt, naming the place,
// when it is cut off or of another version. Of the runs it has what pictures need.
Comparison ReadComparison(const std::filesystem::path& path);

// Of runs of different data sets it shows the time of a step alone, and says why.
Picture ComparisonPicture(const Comparison& comparison);

}  // namespace cddp

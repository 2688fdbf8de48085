// The picture of a training: loss, accuracy, learning rate, and what a step's time went to.
#pragma once

#include <filesystem>
#include <vector>

#include "trainer/history.h"
#include "trainer/plots/gnuplot.h"

namespace cddp {

// Draws training.png into a run's folder, from its history.json and summary.json. Returns its
// path. Throws StatusError: kUnavailable when one of them cannot be read, or as DrawPictures;
// kCorrupt, naming file and place, for what is cut off or of another version.
std::filesystem::path WriteTrainingPlot(const std::filesystem::path& folder);

// The picture of at least one epoch.
Picture TrainingPicture(const TrainingSummary& summary, const std::vector<EpochRecord>& history);

}  // namespace cddp

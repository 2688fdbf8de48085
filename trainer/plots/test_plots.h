// The pictures of a test: confusion matrix, scores of the classes, calibration.
#pragma once

#include <filesystem>
#include <vector>

#include "trainer/plots/gnuplot.h"
#include "trainer/plots/test_scores.h"

namespace cddp {

// Confusion, classes and calibration.
std::vector<Picture> TestPictures(const TestScores& scores);

// Draws confusion.png, classes.png and calibration.png into the folder, from its test.json.
// Returns their paths; none of a text, which has no classes. Throws StatusError: as
// ReadTestScores and DrawPictures.
std::vector<std::filesystem::path> WriteTestPlots(const std::filesystem::path& folder);

// Counts and their shares of the true class, in a page that grows with the classes.
Picture ConfusionPicture(const TestScores& scores);

// Precision, recall and F1 from zero; beside it enlarged, when all are above a half.
Picture ClassesPicture(const TestScores& scores);

// Accuracy against confidence, and the samples behind it (a reliability diagram: Guo, Pleiss,
// Sun, Weinberger: On Calibration of Modern Neural Networks. ICML 2017).
Picture CalibrationPicture(const TestScores& scores);

}  // namespace cddp

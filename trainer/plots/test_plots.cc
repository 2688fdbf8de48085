#include "trainer/plots/test_plots.h"

namespace cddp {

std::vector<Picture> TestPictures(const TestScores& scores) {
  return {ConfusionPicture(scores), ClassesPicture(scores), CalibrationPicture(scores)};
}

std::vector<std::filesystem::path> WriteTestPlots(const std::filesystem::path& folder) {
  const auto scores = ReadTestScores(folder / "test.json");
  if (!scores) return {};
  return DrawPictures(folder, TestPictures(*scores));
}

}  // namespace cddp

#include "trainer/plots/test_plots.h"

namespace cddp {

std::vector<Picture> TestPictures(const std::filesystem::path& test_json) {
  const auto scores = ReadTestScores(test_json);
  if (!scores) return {};
  return {ConfusionPicture(*scores), ClassesPicture(*scores), CalibrationPicture(*scores)};
}

std::vector<std::filesystem::path> WriteTestPlots(const std::filesystem::path& folder) {
  return DrawPictures(folder, TestPictures(folder / "test.json"));
}

}  // namespace cddp

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "trainer/plots/plot_style.h"
#include "trainer/plots/test_plots.h"

namespace cddp {
namespace {

// Beyond so many classes a cell has no room for the share.
constexpr size_t kMostWithShares = 64;

double CellPixels(size_t classes) {
  if (classes <= 12) return 84;
  return classes <= kMostWithShares ? 66 : 34;
}

std::string Data(const TestScores& scores) {
  std::string data = "# Classes, from 0:";
  for (const std::string& name : scores.class_names) data += fmt::format(" {}", Quoted(name));
  data += "\npredicted true count share\n";
  for (size_t i = 0; i < scores.report.confusion_matrix.size(); ++i) {
    const std::vector<int64_t>& row = scores.report.confusion_matrix[i];
    const double all = std::accumulate(row.begin(), row.end(), 0.0);
    for (size_t j = 0; j < row.size(); ++j) {
      const auto count = static_cast<double>(row[j]);
      data += fmt::format("{} {} {} {}\n", j, i, row[j], all > 0 ? count / all : 0.0);
    }
  }
  return data;
}

// By the square root of the share, so that one error in a hundred is seen.
constexpr const char* kColors =
    "set palette defined (0 '#ffffff', 0.1 '#deebf7', 0.4 '#6baed6', 1 '#08306b')\n"
    "set cbrange [0:1]\n"
    "set cbtics ('0' 0, '1' sqrt(0.01), '5' sqrt(0.05), '20' sqrt(0.2), '50' sqrt(0.5), '100' 1)\n"
    "set cblabel 'share of the true class (%)'\n"
    "ink(share) = sqrt(share) > 0.6 ? 0xffffff : 0\n"
    "number(count) = count == 0 ? '' : sprintf('%.0f', count)\n"
    // Rounded, but neither to nothing nor to all.
    "percent(share) = share == 0 ? '' : share == 1 ? '100' : share < 0.0005 ? '<0.1' : share >= "
    "0.9995 ? '>99.9' : sprintf('%.1f', 100 * share)\n";

std::string Labels(const char* text, const char* column, double font, double offset) {
  return fmt::format(
      ", \\\n  data using 'predicted':'true':({}(column('{}'))):(ink(column('share'))) with "
      "labels font ',{:.1f}' offset 0, {} textcolor rgb variable",
      text, column, font, offset);
}

}  // namespace

Picture ConfusionPicture(const TestScores& scores) {
  const std::string stem = "confusion";
  const size_t classes = scores.class_names.size();
  std::vector<std::string> names;
  double widest = 0;
  for (const std::string& name : scores.class_names) {
    names.push_back(Shortened(name));
    widest = std::max(widest, TextPixels(names.back()));
  }
  int64_t most = 0;
  for (const auto& row : scores.report.confusion_matrix)
    most = std::max(most, *std::ranges::max_element(row));

  // The page: the matrix, room for the names and the colours' scale.
  const double cell = std::max(CellPixels(classes), 640 / static_cast<double>(classes));
  const double side = cell * static_cast<double>(classes);
  // Of small letters, most of which are narrower than what TextPixels allows for.
  const double names_width = 0.85 * widest + 5;
  const bool upright = widest > 0.9 * cell;
  const double left = names_width + 75;
  const double bottom = upright ? names_width + 75 : kDigitWidth + 85;
  const PanelPlace panel{
      .left = left, .right = left + side, .bottom = bottom, .top = bottom + side};
  const double width = panel.right + 170;
  const double height = panel.top + 115;
  const bool shares = classes <= kMostWithShares;
  const double digits = static_cast<double>(fmt::format("{}", most).size());
  const double font = kFontSize * std::min(1.0, 0.9 * cell / (kDigitWidth * digits));

  std::string script = PageHead(stem, width, height) + Place(panel, width, height) + PanelStyle();
  script += fmt::format(
      "set title 'Confusion matrix: {:.2f}% of {} samples are right' font ',24' offset 0, 0.5\n"
      "set label 1 'in a cell: samples{}' at screen {:.5f}, {:.5f} center\n"
      "set label 2 'predicted class' at screen {:.5f}, {:.5f} center\n"
      "set label 3 'true class' at screen {:.5f}, {:.5f} center rotate\n",
      scores.report.accuracy_percent, scores.report.samples,
      shares ? ", and their share of the true class (%)" : "", (panel.left + side / 2) / width,
      (panel.top + 25) / height, (panel.left + side / 2) / width, 28 / height, 28 / width,
      (panel.bottom + side / 2) / height);
  script += fmt::format(
      "set xrange [-0.5:{0}]\nset yrange [{0}:-0.5]\n"
      "set xtics {1} scale 0{2}\nset ytics {1} scale 0\nunset grid\nunset key\n"
      "set colorbox user origin {3:.5f}, {4:.5f} size {5:.5f}, {6:.5f}\n",
      static_cast<double>(classes) - 0.5, NamedTics(names), upright ? " rotate by 90 right" : "",
      (panel.right + 30) / width, panel.bottom / height, 28 / width, side / height);
  script += kColors;
  script += "plot data using 'predicted':'true':(sqrt(column('share'))) with image pixels";
  script += Labels("number", "count", font, shares ? 0.3 : 0);
  if (shares) script += Labels("percent", "share", 0.68 * font, -0.5);
  return {.name = stem, .data = Data(scores), .script = script + '\n'};
}

}  // namespace cddp

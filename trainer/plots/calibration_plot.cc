#include <fmt/format.h>

#include <algorithm>

#include "trainer/plots/plot_style.h"
#include "trainer/plots/test_plots.h"

namespace cddp {
namespace {

constexpr double kWidth = 1200;
constexpr double kHeight = 1350;
constexpr PanelPlace kAccuracy = {.left = 150, .right = 1150, .bottom = 420, .top = 1210};
constexpr PanelPlace kSamples = {.left = 150, .right = 1150, .bottom = 95, .top = 385};
// Where a bar of a logarithmic axis begins: one sample is to be seen.
constexpr double kLeastSamples = 0.5;
// From a bar's top to the mean confidence of its samples, which is where the diagonal passes.
constexpr const char* kGap = "#d55e00";

std::string Percent(const std::optional<double>& fraction) {
  return fraction ? fmt::format("{:.10g}", 100 * *fraction) : std::string("NaN");
}

std::string Data(const TestScores& scores) {
  std::string data = "low high samples confidence accuracy\n";
  for (const CalibrationBin& bin : scores.report.calibration) {
    data +=
        fmt::format("{} {} {} {} {}\n", 100 * bin.confidence_low, 100 * bin.confidence_high,
                    bin.samples, Percent(bin.confidence_fraction), Percent(bin.accuracy_fraction));
  }
  return data;
}

// Outlines of bars and the diagonal once more over the gaps; in the key the longest title is last.
constexpr const char* kAccuracyPlot =
    "set title 'Calibration: expected error {:.2f} points' font ',24' offset 0, 1.4\n"
    "set xrange [0:100]\nset yrange [0:100]\nset xtics 20\nset ytics 20\nset format x ''\n"
    "set label 1 'accuracy (%)' at graph -0.115, graph 0.5 center rotate\n"
    "set style line 1 lw 3 dt (12,8) lc rgb 'black'\n"
    "set key at graph 0.5, graph 1.01 bottom center horizontal maxrows 1 width -3 samplen 2 Left "
    "reverse\n"
    "plot data using 'low':'accuracy':'low':'high':(0):'accuracy' with boxxyerror fs solid border "
    "lt -1 lc rgb '{}' title 'accuracy', \\\n"
    "  x with lines ls 1 title 'perfect', \\\n"
    "  data using 'low':'accuracy':'low':'high':'accuracy':'confidence' with boxxyerror fs "
    "transparent solid 0.6 noborder lc rgb '{}' title 'gap to confidence', \\\n"
    "  data using 'low':'accuracy':'low':'high':(0):'accuracy' with boxxyerror fs empty "
    "border lt -1 lc rgb 'black' notitle, \\\n"
    "  x with lines ls 1 notitle\n";

constexpr const char* kSamplesPlot =
    "unset title\nunset key\nset format x '%g'\n"
    "set xlabel 'confidence: probability of the predicted class (%)'\n"
    "set label 1 'test samples'\n"
    "plot data using 'low':'samples':'low':'high':({}):(column('samples') > 0 ? column('samples') "
    ": NaN) with boxxyerror fs solid border lt -1 lc rgb '{}'\n"
    "unset multiplot\n";

}  // namespace

Picture CalibrationPicture(const TestScores& scores) {
  const std::string stem = "calibration";
  int64_t most = 1;
  for (const CalibrationBin& bin : scores.report.calibration) most = std::max(most, bin.samples);
  const auto label = [](double samples) { return fmt::format("{:.0f}", samples); };
  std::string script = PageHead(stem, kWidth, kHeight) + "set multiplot\n" + PanelStyle();
  script += Place(kAccuracy, kWidth, kHeight) +
            fmt::format(kAccuracyPlot, 100 * scores.report.expected_calibration_error_fraction,
                        kLightBlue, kGap);
  script += Place(kSamples, kWidth, kHeight) +
            ValueAxis("y", 1, static_cast<double>(most), true, label) +
            fmt::format("set yrange [{}:]\n", kLeastSamples) +
            fmt::format(kSamplesPlot, kLeastSamples, kOrange);
  return {.name = stem, .data = Data(scores), .script = script};
}

}  // namespace cddp

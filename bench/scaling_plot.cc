#include "bench/scaling_plot.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "bench/scaling_bandwidth.h"
#include "bench/scaling_style.h"
#include "trainer/plots/gnuplot.h"
#include "trainer/plots/plot_style.h"

namespace cddp {
namespace {

std::string DataRow(const ScalingRow& row) {
  // A longer step is a smaller speed-up.
  const double least = row.step_ms / row.step_ms_high.value_or(row.step_ms);
  const double most = row.step_ms / row.step_ms_low.value_or(row.step_ms);
  const double efficiency = 100 * *row.efficiency_fraction;
  return fmt::format("{} {} {} {} {} {} {}\n", row.workers, *row.speedup, efficiency,
                     least * *row.speedup, most * *row.speedup, least * efficiency,
                     most * efficiency);
}

std::string Block(const ScalingReport& report, const std::string& collective, bool projected) {
  std::string block = fmt::format("# {} {}\n", collective, projected ? "projected" : "measured");
  for (const ScalingRow& row : report.rows) {
    if (row.collective == collective && row.projected == projected && row.speedup) {
      block += DataRow(row);
    }
  }
  return block + "\n\n";
}

// A bar for each number of workers: measured where it was, else projected.
std::vector<const ScalingRow*> Bars(const ScalingReport& report, const std::string& collective) {
  std::vector<const ScalingRow*> bars;
  for (const ScalingRow& row : report.rows) {
    if (row.collective != collective) continue;
    const bool there = std::ranges::any_of(
        bars, [&](const ScalingRow* bar) { return bar->workers == row.workers; });
    if (!there) bars.push_back(&row);  // measured rows come first
  }
  std::ranges::sort(bars, {}, &ScalingRow::workers);
  return bars;
}

std::string BarBlocks(const ScalingReport& report, bool projected) {
  std::string block = fmt::format("# bars {}\n", projected ? "projected" : "measured");
  int at = 0;
  for (const CollectiveStudy& study : report.studies) {
    for (const ScalingRow* row : Bars(report, study.model.collective)) {
      ++at;
      if (row->projected != projected) continue;
      block += fmt::format("{} {} {} {}\n", at, row->workers, row->compute_ms,
                           row->compute_ms + row->exposed_ms);
    }
    ++at;  // a gap
  }
  return block + "\n\n";
}

std::string GroupLabels(const ScalingReport& report) {
  std::string labels;
  int at = 0;
  for (const CollectiveStudy& study : report.studies) {
    const int count = static_cast<int>(Bars(report, study.model.collective).size());
    labels += fmt::format("set label '{}' at first {}, graph 0.95 center\n", study.model.collective,
                          at + (count + 1) / 2.0);
    at += count + 1;
  }
  return labels;
}

// A band of the models with a point left out, a dashed line of the model and markers of
// what was measured, for each collective; the bands lie below.
std::string Curves(const ScalingReport& report, int column) {
  std::string plots;
  for (const CollectiveStudy& study : report.studies) {
    const bool last = &study == &report.studies.back();
    plots += fmt::format(
        ", data index '{} projected' using 1:{}:{} with filledcurves {} fs transparent solid 0.15 "
        "noborder {}",
        study.model.collective, 2 * column, 2 * column + 1, MeasuredPoints(study.model.collective),
        last ? "title 'projected, range without any one point'" : "notitle");
  }
  for (const CollectiveStudy& study : report.studies) {
    const std::string& collective = study.model.collective;
    plots += fmt::format(
        ", data index '{0} projected' using 1:{1} with lines {2} title '{0}, projected (held-out "
        "error {3:.0f}%)', data index '{0} measured' using 1:{1} with points {4} title '{0}, "
        "measured'",
        collective, column, ProjectedLine(collective), StepErrorPercent(study.held_out),
        MeasuredPoints(collective));
  }
  return plots + '\n';
}

// Panels beside each other; the page's height follows from the keys below.
constexpr double kPanelWidth = 1000;
constexpr const char* kHead =
    "set lmargin 11\n"
    "set tmargin 3\n"
    "set key below maxcols 1 samplen 5 Left reverse\n"
    "set xlabel 'workers'\n";

constexpr std::string_view kBars =
    "unset logscale\n"
    "set title 'Step-time breakdown' font ',22'\n"
    "set ylabel 'step time (ms)'\n"
    "set xtics nomirror rotate by 90 right font ',{}'\n"
    "set grid noxtics\n"
    "set boxwidth 0.8\n"
    "set xlabel 'workers' offset 0,-0.8\n";

// The whole step, and over its lower part the computation.
constexpr std::string_view kBarPlots =
    "plot data index 'bars measured' using 1:4:xtic(2) with boxes lc rgb '{0}' fs solid border "
    "lc rgb 'black' "
    "title 'exposed communication, measured', "
    "'' index 'bars projected' using 1:4:xtic(2) with boxes lc rgb '{0}' fs pattern 4 border "
    "lc rgb 'black' "
    "title 'exposed communication, projected', "
    "'' index 'bars measured' using 1:3 with boxes lc rgb '{1}' fs solid border lc rgb 'black' "
    "title 'computation, measured', "
    "'' index 'bars projected' using 1:3 with boxes lc rgb '{1}' fs pattern 5 border lc rgb "
    "'black' "
    "title 'computation, projected'\n"
    "unset multiplot\n";

}  // namespace

std::string ScalingPlotData(const ScalingReport& report) {
  std::string data =
      "# Blocks of curves: workers, speed-up, efficiency (%), range of the speed-up and of the\n"
      "# efficiency over models with a point left out. Blocks of bars: place, workers, computation "
      "(ms), step (ms).\n\n\n";
  for (const CollectiveStudy& study : report.studies) {
    for (bool projected : {false, true}) data += Block(report, study.model.collective, projected);
  }
  return data + BarBlocks(report, false) + BarBlocks(report, true);
}

std::string ScalingPlotScript(const ScalingReport& report, const std::string& stem) {
  double tallest = 0;
  int most = 2;
  int places = -1;
  for (const CollectiveStudy& study : report.studies) {
    for (const ScalingRow* bar : Bars(report, study.model.collective)) {
      tallest = std::max(tallest, bar->compute_ms + bar->exposed_ms);
      most = std::max(most, bar->workers);
      ++places;
    }
    ++places;
  }
  // The keys have lines for "ideal" and the bands and two for each collective, and tics must not
  // touch.
  const size_t key_lines = 2 + 2 * report.studies.size();
  const int tic_size = std::clamp(22 * 20 / places, 10, static_cast<int>(kFontSize));
  // Without a baseline there is nothing but the bars.
  const int panels = report.baseline.step_ms > 0 ? 3 : 1;
  std::string script =
      PageHead(stem, panels * kPanelWidth, static_cast<double>(950 + 40 * key_lines));
  script += PanelStyle() + CollectiveLines() + kHead;
  script += fmt::format("set multiplot layout 1,{}\nset bmargin {}\n", panels,
                        5.5 + 1.1 * static_cast<double>(key_lines));
  if (panels > 1) {
    script += fmt::format(
        "set logscale x 2\nset xrange [1:{}]\n"
        "set title 'Speed-up over one worker' font ',22'\nset ylabel 'speed-up (times)'\n"
        "set logscale y 2\nset yrange [*:{}]\n"
        "plot x with lines lw 2 lc rgb '#999999' title 'ideal'{}",
        most, most, Curves(report, 2));
    script +=
        "unset logscale y\nset yrange [0:105<*] noextend\n"
        "set title 'Efficiency: speed-up per worker' font ',22'\nset ylabel 'efficiency (%)'\n"
        "plot 100 with lines lw 2 lc rgb '#999999' title 'ideal'" +
        Curves(report, 3);
  }
  // Room for the names above the bars.
  return script + fmt::format(kBars, tic_size) +
         fmt::format("set xrange [0.3:{}]\nset yrange [0:{}]\n", places + 0.7, 1.15 * tallest) +
         GroupLabels(report) + fmt::format(kBarPlots, kOrange, kDarkBlue);
}

void PlotScaling(const ScalingReport& report, const std::filesystem::path& png) {
  RequirePngName(png);
  const std::string stem = png.stem().string();
  std::vector<Picture> pictures{
      {.name = stem, .data = ScalingPlotData(report), .script = ScalingPlotScript(report, stem)}};
  pictures.push_back(BandwidthPicture(report.studies, MostMeasured(report),
                                      ProjectedWorkers(report.settings.max_workers).back(),
                                      stem + "-bandwidth"));
  DrawPictures(png.parent_path(), pictures);
}

}  // namespace cddp

#include "trainer/plots/comparison_plot.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>

#include "trainer/plots/evaluation_points.h"
#include "trainer/plots/plot_style.h"
#include "trainer/plots/run_files.h"
#include "trainer/progress.h"

namespace cddp {
namespace {

constexpr double kWidth = 1650;
constexpr double kPanelWidth = 620;
constexpr double kPanelHeight = 400;
// Left edges of the columns; what is between the rows.
constexpr double kLeft = 175;
constexpr double kRight = 985;
constexpr double kBetweenRows = 225;
constexpr double kAboveFoot = 100;
constexpr double kLineOfKey = 34;

std::vector<EvaluationPoint> PointsOf(const TrainingSummary& run) {
  return EvaluationPoints(run, run.history);
}

struct StepTime {
  double computation_ms = 0;
  double exposed_ms = 0;
};

StepTime MeanStep(const std::vector<EpochRecord>& history) {
  StepTime sum;
  for (const EpochRecord& record : history) {
    const StepMeans& m = record.means;
    sum.computation_ms += m.data_ms + m.forward_ms + m.backward_ms + m.optimizer_ms;
    sum.exposed_ms += m.exposed_ms;
  }
  const auto epochs = static_cast<double>(history.size());
  return {sum.computation_ms / epochs, sum.exposed_ms / epochs};
}

std::string Data(const Comparison& comparison) {
  std::string data;
  for (const ComparedRun& run : comparison.runs) {
    data += fmt::format("# {}\nepoch seconds bytes quality\n", Quoted(run.label));
    for (const EvaluationPoint& p : PointsOf(run.summary)) {
      data += fmt::format("{} {} {} {}\n", p.epoch, p.seconds, p.bytes,
                          std::isfinite(p.quality) ? fmt::format("{}", p.quality) : "NaN");
    }
    data += "\n\n";
  }
  data += "# Means of all epochs\nrun computation_ms exposed_ms\n";
  for (size_t i = 0; i < comparison.runs.size(); ++i) {
    const StepTime step = MeanStep(comparison.runs[i].summary.history);
    data += fmt::format("{} {} {}\n", i, step.computation_ms, step.exposed_ms);
  }
  return data;
}

std::string Panel(const PanelPlace& place, double height, const std::string& title) {
  return Place(place, kWidth, height) + fmt::format("set title {} font ',22'\n", Quoted(title));
}

bool IsOfText(const Comparison& comparison) {
  return comparison.runs.front().summary.history.front().test_bits_per_byte.has_value();
}

// Of a text no accuracy is shown, so that no target of it can be.
bool HasTarget(const Comparison& comparison) {
  return comparison.target_accuracy_percent > 0 && !IsOfText(comparison);
}

// The x axis of what `value` grows to, for the runs where it grows at all.
std::string GrowingAxis(const Comparison& comparison, double (*value)(const EvaluationPoint&),
                        const std::function<std::string(double)>& label) {
  constexpr double kApart = 4;  // ends of runs so many times apart: a logarithmic axis
  constexpr double kLeast = 1e-9;
  double first = std::numeric_limits<double>::infinity();
  double shortest = first;
  double longest = 0;
  for (const ComparedRun& run : comparison.runs) {
    const std::vector<EvaluationPoint> points = PointsOf(run.summary);
    for (const EvaluationPoint& point : points) {
      if (value(point) > 0) first = std::min(first, value(point));
    }
    if (const double last = value(points.back()); last > 0) {
      shortest = std::min(shortest, last);
      longest = std::max(longest, last);
    }
  }
  if (longest < kLeast) return "unset logscale x\nset xrange [0:1]\nset xtics (0)\n";
  return ValueAxis("x", first, longest, longest / shortest >= kApart, label);
}

// Of every run that has a finite point for which `shown` holds.
std::string CurvePlot(const Comparison& comparison, const char* column,
                      bool (*shown)(const EvaluationPoint&)) {
  std::string plots;
  for (size_t i = 0; i < comparison.runs.size(); ++i) {
    const auto points = PointsOf(comparison.runs[i].summary);
    if (std::ranges::none_of(points, [&](const EvaluationPoint& p) {
          return std::isfinite(p.quality) && shown(p);
        })) {
      continue;
    }
    plots += fmt::format("{}data index {} using '{}':'quality' with linespoints ls {}",
                         plots.empty() ? "plot " : ", \\\n  ", i, column, i + 1);
  }
  if (plots.empty()) return "set yrange [0:1]\nplot NaN\n";
  if (HasTarget(comparison)) {
    plots += fmt::format(", {} with lines lw 3 dt (6,6) lc rgb '#777777'",
                         comparison.target_accuracy_percent);
  }
  return plots + '\n';
}

// A bar for each run, with its label beside it, which may take of the panel's width.
std::string StepPanel(const Comparison& comparison, PanelPlace place, double height) {
  std::vector<std::string> labels;
  double longest = 0;
  double widest = 0;
  for (const ComparedRun& run : comparison.runs) {
    labels.push_back(Shortened(run.label));
    widest = std::max(widest, TextPixels(labels.back()));
    const StepTime step = MeanStep(run.summary.history);
    longest = std::max(longest, step.computation_ms + step.exposed_ms);
  }
  constexpr double kRoomForLabels = 150;
  const double middle = (place.left + place.right) / 2;
  place.left += std::max(0.0, widest - kRoomForLabels);
  const size_t runs = comparison.runs.size();
  const std::string step = "column('computation_ms') + column('exposed_ms')";
  const std::string bar =
      ":(column('run') - 0.35):(column('run') + 0.35) with boxxyerror fs solid "
      "border lt -1 lc rgb";
  return Panel(place, height, "Time of a step") +
         BoxKey({{"computation", kDarkBlue}, {"exposed communication", kOrange}}, middle,
                place.top + 24, kWidth, height) +
         fmt::format(
             "set title offset 0, 0.9\nset xlabel 'mean time of a step (ms)'\nunset key\n"
             "set xrange [0:{}]\nset yrange [{}:-0.5]\nset ytics {} scale 0\nset grid noytics "
             "xtics\n",
             longest > 0 ? 1.18 * longest : 1.0, static_cast<double>(runs) - 0.5,
             NamedTics(labels)) +
         fmt::format(
             "plot data index {0} using (0):'run':(0):'computation_ms'{3} '{1}', \\\n"
             "  data index {0} using (0):'run':'computation_ms':({4}){3} '{2}', \\\n"
             "  data index {0} using ({4}):'run':(sprintf(' %.3g', {4})) with labels left\n",
             runs, kDarkBlue, kOrange, bar, step) +
         kNoBoxKey;
}

// Says which runs have no curve over what was sent.
std::string SendNothing(const Comparison& comparison) {
  std::vector<const ComparedRun*> silent;
  for (const ComparedRun& run : comparison.runs) {
    if (!(PointsOf(run.summary).back().bytes > 0)) silent.push_back(&run);
  }
  if (silent.empty()) return "";
  std::string text = fmt::format("{} runs send nothing", silent.size());
  if (silent.size() == 1) {
    text = fmt::format("{}: sends nothing{}", Shortened(silent[0]->label),
                       silent[0]->summary.world_size == 1 ? " (one worker)" : "");
  }
  return fmt::format("set label 2 {} at graph 0.5, graph 1.06 center\n", Quoted(text));
}

std::string CurvePanels(const Comparison& comparison, double foot, double height) {
  const bool text = IsOfText(comparison);
  int epochs = 1;
  size_t most = 1;
  bool within = false;
  for (const ComparedRun& run : comparison.runs) {
    const std::vector<EvaluationPoint> points = PointsOf(run.summary);
    epochs = std::max(epochs, run.summary.history.back().epoch);
    most = std::max(most, points.size());
    within = within || AnyWithinEpochs(points);
  }
  std::string script;
  for (size_t i = 0; i < comparison.runs.size(); ++i) {
    script += LineStyle(static_cast<int>(i + 1), static_cast<int>(most));
  }
  const double bottom = foot + kAboveFoot;
  const double upper = bottom + kPanelHeight + kBetweenRows;
  script += fmt::format(
      "unset key\nset offsets 0, 0, graph 0.06, graph 0.06\n"
      "set label 1 '{}' at graph -0.235, graph 0.5 center rotate\n",
      text ? "test loss (bits per byte)" : "test accuracy (%)");
  const std::string quality = text ? "Bits per byte" : "Accuracy";
  const char* range = text ? "set yrange [*:*]\n" : kPercentRange;
  script += Panel({kLeft, kLeft + kPanelWidth, upper, upper + kPanelHeight}, height,
                  quality + " over epochs") +
            EpochAxis(epochs, within) + range +
            CurvePlot(comparison, "epoch", [](const EvaluationPoint&) { return true; });
  script +=
      Panel({kRight, kRight + kPanelWidth, upper, upper + kPanelHeight}, height,
            quality + " over the time of training") +
      "set xlabel 'time of training (s)'\n" +
      GrowingAxis(
          comparison, [](const EvaluationPoint& p) { return p.seconds; },
          [](double seconds) { return fmt::format("{:g}", seconds); }) +
      range +
      CurvePlot(comparison, "seconds", [](const EvaluationPoint& p) { return p.seconds > 0; });
  script += Panel({kLeft, kLeft + kPanelWidth, bottom, bottom + kPanelHeight}, height,
                  quality + " over what was sent") +
            "set xlabel 'sent by a worker so far (bytes)'\n" +
            GrowingAxis(
                comparison, [](const EvaluationPoint& p) { return p.bytes; }, FormatBytes) +
            "set title offset 0, 0.9\n" + SendNothing(comparison) + range +
            CurvePlot(comparison, "bytes", [](const EvaluationPoint& p) { return p.bytes > 0; });
  script +=
      "unset offsets\nunset logscale x\nset xtics autofreq\nunset label 1\nunset label 2\n" +
      StepPanel(comparison, {kRight, kRight + kPanelWidth, bottom, bottom + kPanelHeight}, height);
  return script;
}

// One key for all curves, at the foot of the page.
std::string Key(const Comparison& comparison, double foot, double height) {
  std::string plots;
  for (size_t i = 0; i < comparison.runs.size(); ++i) {
    plots += fmt::format("{}NaN with linespoints ls {} title {}", i == 0 ? "plot " : ", \\\n  ",
                         i + 1, Quoted(Shortened(comparison.runs[i].label)));
  }
  if (HasTarget(comparison)) {
    plots += fmt::format(", NaN with lines lw 3 dt (6,6) lc rgb '#777777' title 'target, {}%'",
                         comparison.target_accuracy_percent);
  }
  return Place({kLeft, kWidth - 35, 0, foot}, kWidth, height) +
         "unset border\nunset tics\nunset title\nunset xlabel\nset xrange [0:1]\nset yrange [0:1]\n"
         "set key at graph 0.5, graph 0.5 center center horizontal width 0 samplen 4 Left "
         "reverse\n" +
         plots + '\n';
}

}  // namespace

Picture ComparisonPicture(const Comparison& comparison) {
  const std::string stem = "comparison";
  std::set<std::string> datasets, models;
  double widest = 0;
  for (const ComparedRun& run : comparison.runs) {
    datasets.insert(Shortened(run.summary.dataset));
    models.insert(Shortened(run.summary.model));
    widest = std::max(widest, TextPixels(Shortened(run.label)));
  }
  std::string title = fmt::format("{} on {}", fmt::join(models, ", "), fmt::join(datasets, ", "));
  std::string panels;
  double height;
  if (datasets.size() > 1) {
    title += ": accuracies of different data sets cannot be compared";
    height = 420 + 60 * static_cast<double>(comparison.runs.size());
    panels = StepPanel(comparison, {kLeft, kWidth - 60, 90, height - 190}, height);
  } else {
    const double columns = std::max(1.0, std::floor((kWidth - 200) / (widest + 120)));
    const double lines = std::ceil(static_cast<double>(comparison.runs.size() + 1) / columns);
    const double foot = 40 + kLineOfKey * lines;
    height = foot + kAboveFoot + 2 * kPanelHeight + kBetweenRows + 140;
    panels = CurvePanels(comparison, foot, height) + Key(comparison, foot, height);
  }
  return {.name = stem,
          .data = Data(comparison),
          .script = PageHead(stem, kWidth, height) +
                    fmt::format("set multiplot title {} font ',24'\n", Quoted(title)) +
                    PanelStyle() + panels + "unset multiplot\n"};
}

std::filesystem::path WriteComparisonPlot(const std::filesystem::path& folder) {
  return DrawPictures(folder, {ComparisonPicture(ReadComparison(folder / "comparison.json"))})
      .front();
}

}  // namespace cddp

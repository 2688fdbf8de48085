#include "trainer/plots/training_plot.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "trainer/json_file.h"
#include "trainer/plots/evaluation_points.h"
#include "trainer/plots/plot_style.h"
#include "trainer/plots/run_files.h"
#include "trainer/progress.h"

namespace cddp {
namespace {

constexpr double kWidth = 1650;
constexpr double kHeight = 1310;
constexpr double kPanelWidth = 620;
constexpr double kPanelHeight = 380;
constexpr double kLower = 95;
constexpr double kUpper = 750;
constexpr PanelPlace kLoss = {175, 175 + kPanelWidth, kUpper, kUpper + kPanelHeight};
constexpr PanelPlace kAccuracy = {985, 985 + kPanelWidth, kUpper, kUpper + kPanelHeight};
constexpr PanelPlace kRate = {175, 175 + kPanelWidth, kLower, kLower + kPanelHeight};
constexpr PanelPlace kTime = {985, 985 + kPanelWidth, kLower, kLower + kPanelHeight};

// Wider than its frame where the lines between bars would be all that is seen.
constexpr size_t kMostFramedBars = 40;

// From the bottom to the top.
struct Part {
  const char* column;
  KeyBox box;
};
constexpr std::array<Part, 5> kParts = {{
    {"data_ms", {"data", "#009e73"}},
    {"forward_ms", {"forward", kDarkBlue}},
    {"backward_ms", {"backward", kLightBlue}},
    {"exposed_ms", {"exposed communication", kOrange}},
    {"optimizer_ms", {"optimiser", "#000000"}},
}};

// A run's history, and what its evaluations said.
struct Curves {
  const std::vector<EpochRecord>& history;
  std::vector<EvaluationPoint> tests;

  bool is_text() const { return history.front().test_bits_per_byte.has_value(); }
  const char* quality() const { return is_text() ? "test_bits_per_byte" : "test_accuracy_percent"; }
};

std::string Cell(double value) {
  return std::isfinite(value) ? fmt::format("{}", value) : std::string("NaN");
}

std::string Row(const std::vector<double>& values) {
  std::vector<std::string> cells;
  for (double value : values) cells.push_back(Cell(value));
  return fmt::format("{}\n", fmt::join(cells, " "));
}

// Two blocks, epochs and evaluations, whose columns gnuplot finds by the names of the first line.
std::string Data(const Curves& curves) {
  std::string data =
      "epoch train_loss train_accuracy_percent learning_rate data_ms forward_ms backward_ms "
      "exposed_ms optimizer_ms tx_bytes_per_step\n";
  for (const EpochRecord& r : curves.history) {
    data += Row({static_cast<double>(r.epoch), r.train_loss, r.train_accuracy_percent,
                 r.learning_rate, r.means.data_ms, r.means.forward_ms, r.means.backward_ms,
                 r.means.exposed_ms, r.means.optimizer_ms, r.tx_bytes_per_step});
  }
  data += fmt::format("\n\nepoch test_loss {}\n", curves.quality());
  for (const EvaluationPoint& p : curves.tests) data += Row({p.epoch, p.test_loss, p.quality});
  return data;
}

struct Curve {
  int block;
  const char* column;
  const char* title;
  int style;
  std::vector<double> values;
};

Curve OfEpochs(const Curves& curves, const char* column, const char* title, int style,
               double EpochRecord::*member) {
  Curve curve{0, column, title, style, {}};
  for (const EpochRecord& record : curves.history) curve.values.push_back(record.*member);
  return curve;
}

Curve OfTests(const Curves& curves, const char* column, double EvaluationPoint::*member) {
  Curve curve{1, column, "test", 2, {}};
  for (const EvaluationPoint& point : curves.tests) curve.values.push_back(point.*member);
  return curve;
}

// Curves without any finite value are left out: gnuplot refuses them.
std::string CurvePlot(const std::vector<Curve>& curves) {
  std::string plots;
  for (const Curve& curve : curves) {
    if (std::ranges::none_of(curve.values, [](double value) { return std::isfinite(value); })) {
      continue;
    }
    plots += fmt::format("{}data index {} using 'epoch':'{}' with linespoints ls {} title '{}'",
                         plots.empty() ? "plot " : ", ", curve.block, curve.column, curve.style,
                         curve.title);
  }
  if (!plots.empty()) return plots + '\n';
  return "set yrange [0:1]\n"
         "set label 2 'no epoch gave a finite number' at graph 0.5, 0.5 center\n"
         "plot NaN notitle\n"
         "unset label 2\n"
         "set yrange [*:*]\n";
}

// At a fixed place: gnuplot moves its own label out of the page when the tics are wide.
std::string Panel(const PanelPlace& place, const std::string& title, const char* unit) {
  return Place(place, kWidth, kHeight) +
         fmt::format(
             "set title {} font ',22'\nset label 1 '{}' at graph -0.235, graph 0.5 center "
             "rotate\n",
             Quoted(title), unit);
}

std::string AccuracyPanel(const Curves& curves) {
  const Curve tests = OfTests(curves, curves.quality(), &EvaluationPoint::quality);
  if (curves.is_text()) {
    return Panel(kAccuracy, "Bits per byte of the text", "test loss (bits per byte)") +
           CurvePlot({tests});
  }
  double best = -1;
  for (double accuracy : tests.values) best = std::max(best, accuracy);  // NaN is never the larger
  const std::string title =
      best >= 0 ? fmt::format("Accuracy: test {:.2f}% at best", best) : std::string("Accuracy");
  return Panel(kAccuracy, title, "accuracy (%)") + kPercentRange +
         CurvePlot({OfEpochs(curves, "train_accuracy_percent", "training", 1,
                             &EpochRecord::train_accuracy_percent),
                    tests});
}

std::string TimePanel(size_t epochs) {
  const bool framed = epochs <= kMostFramedBars;
  std::string plots;
  std::string below = "0";
  for (const Part& part : kParts) {
    const std::string above = fmt::format("{} + column('{}')", below, part.column);
    plots += fmt::format(
        "{0}data index 0 using 'epoch':(0):(column('epoch') - {1}):(column('epoch') + "
        "{1}):({2}):({3}) "
        "with boxxyerror fs solid {4} lc rgb '{5}' notitle",
        plots.empty() ? "plot " : ", \\\n  ", framed ? 0.4 : 0.5, below, above,
        framed ? "border lt -1" : "noborder", part.box.color);
    below = above;
  }
  const double middle = (kTime.left + kTime.right) / 2;
  return Panel(kTime, "Where the time of a step went", "mean time of a step (ms)") +
         BoxKey({kParts[0].box, kParts[1].box, kParts[2].box}, middle, kTime.top + 56, kWidth,
                kHeight) +
         BoxKey({kParts[3].box, kParts[4].box}, middle, kTime.top + 24, kWidth, kHeight) +
         "set title offset 0, 2.3\nset grid noxtics\n" + plots + '\n';
}

std::string Title(const TrainingSummary& summary, const std::vector<EpochRecord>& history) {
  double bytes = 0;
  for (const EpochRecord& record : history) bytes += record.tx_bytes_per_step;
  bytes /= static_cast<double>(history.size());
  std::string title =
      fmt::format("{} on {}, {} worker{}, {}", Shortened(summary.model), Shortened(summary.dataset),
                  summary.world_size, summary.world_size == 1 ? "" : "s", WhatIsSent(summary));
  if (bytes > 0) title += fmt::format(", {} sent by a worker in a step", FormatBytes(bytes));
  return title;
}

}  // namespace

Picture TrainingPicture(const TrainingSummary& summary, const std::vector<EpochRecord>& history) {
  const std::string stem = "training";
  const Curves curves{history, EvaluationPoints(summary, history)};
  const int epochs = std::ranges::max_element(history, {}, &EpochRecord::epoch)->epoch;
  std::string script = PageHead(stem, kWidth, kHeight);
  script += fmt::format("set multiplot title {} font ',24'\n", Quoted(Title(summary, history)));
  script += PanelStyle() + EpochAxis(epochs, AnyWithinEpochs(curves.tests));
  // Dashed and open for training, whole and filled for the test.
  script += fmt::format(
      "set style line 1 lc rgb '#d55e00' lw 3 dt (9,6) pt 4 ps 2 pointinterval {}\n"
      "set style line 2 lc rgb '#0072b2' lw 3 pt 7 ps 2 pointinterval {}\n"
      "set key at graph 0.5, graph 1.02 bottom center horizontal maxrows 1 samplen 3 Left reverse\n"
      "set offsets 0, 0, graph 0.06, graph 0.06\n",
      std::max(1, epochs / 10), std::max<size_t>(1, curves.tests.size() / 10));
  script += Panel(kLoss, "Loss", "loss (nats)") + "set title offset 0, 0.9\n" +
            CurvePlot({OfEpochs(curves, "train_loss", "training", 1, &EpochRecord::train_loss),
                       OfTests(curves, "test_loss", &EvaluationPoint::test_loss)});
  script += AccuracyPanel(curves);
  // From zero to above the highest: a constant rate is no part of the frame.
  double highest = 0;
  for (const EpochRecord& record : history) highest = std::max(highest, record.learning_rate);
  script += fmt::format("unset offsets\nset yrange [0:{}]\n", highest > 0 ? 1.15 * highest : 1.0) +
            Panel(kRate, "Learning rate at the end of an epoch", "learning rate") +
            "set title offset 0, 0\n" +
            CurvePlot({OfEpochs(curves, "learning_rate", "", 2, &EpochRecord::learning_rate)});
  script += "set yrange [0:*]\n" + TimePanel(history.size());
  return {.name = stem, .data = Data(curves), .script = script + "unset multiplot\n"};
}

std::filesystem::path WriteTrainingPlot(const std::filesystem::path& folder) {
  const auto history_file = folder / "history.json";
  const auto summary_file = folder / "summary.json";
  const auto history = ParseHistory(ReadJsonFile(history_file), history_file.string());
  const auto summary = ParseSummary(ReadJsonFile(summary_file), summary_file.string());
  return DrawPictures(folder, {TrainingPicture(summary, history)}).front();
}

}  // namespace cddp

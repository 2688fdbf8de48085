#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "trainer/plots/plot_style.h"
#include "trainer/plots/test_plots.h"

namespace cddp {
namespace {

constexpr double kWidth = 1650;

struct Score {
  const char* column;
  const char* title;
  const char* bar;    // colour
  const char* point;  // colour and marker
  double offset;      // of the middle of the bar, in classes
};
constexpr double kBarHeight = 0.28;
constexpr std::array<Score, 3> kScores = {{
    {"precision", "precision", kDarkBlue, "lc rgb '#1f3f7a' pt 7", -kBarHeight},
    {"recall", "recall", kOrange, "lc rgb '#b87000' pt 4 lw 3", 0},
    {"f1", "F1", kLightBlue, "lc rgb '#2a8bc9' pt 2 lw 3", kBarHeight},
}};

std::string Data(const TestScores& scores) {
  std::string data = "class precision recall f1 support name\n";
  for (size_t i = 0; i < scores.report.classes.size(); ++i) {
    const ClassScore& c = scores.report.classes[i];
    data +=
        fmt::format("{} {} {} {} {} {}\n", i, 100 * c.precision_fraction, 100 * c.recall_fraction,
                    100 * c.f1_fraction, c.support, Quoted(scores.class_names[i]));
  }
  return data;
}

std::string Bars() {
  std::string plots;
  for (const Score& s : kScores) {
    plots += fmt::format(
        "{}data using '{}':'class':(0):'{}':(column('class') + {:.2f}):(column('class') + {:.2f}) "
        "with boxxyerror fs solid border lt -1 lc rgb '{}' notitle",
        plots.empty() ? "plot " : ", \\\n  ", s.column, s.column, s.offset - kBarHeight / 2,
        s.offset + kBarHeight / 2, s.bar);
  }
  return plots + '\n';
}

std::string Points() {
  std::string plots;
  for (const Score& s : kScores) {
    plots +=
        fmt::format("{}data using '{}':(column('class') + {:.2f}) with points ps 2 {} title '{}'",
                    plots.empty() ? "plot " : ", \\\n  ", s.column, s.offset, s.point, s.title);
  }
  return plots + '\n';
}

double Lowest(const TestScores& scores) {
  double lowest = 100;
  for (const ClassScore& c : scores.report.classes) {
    lowest = 100 * std::min({lowest / 100, c.precision_fraction, c.recall_fraction, c.f1_fraction});
  }
  return lowest;
}

}  // namespace

Picture ClassesPicture(const TestScores& scores) {
  const std::string stem = "classes";
  const size_t classes = scores.class_names.size();
  std::vector<std::string> names;
  double widest = 0;
  for (size_t i = 0; i < classes; ++i) {
    names.push_back(
        fmt::format("{} ({})", Shortened(scores.class_names[i]), scores.report.classes[i].support));
    widest = std::max(widest, TextPixels(names.back()));
  }
  const double lowest = Lowest(scores);
  const bool enlarged = lowest > 50;
  const double height =
      std::max(560.0, 240 + (classes <= 12 ? 78 : 58) * static_cast<double>(classes));
  const double left = widest + 35;
  const double middle = (left + kWidth - 40) / 2;
  const PanelPlace whole{.left = left,
                         .right = enlarged ? middle - 40 : kWidth - 40,
                         .bottom = 95,
                         .top = height - 145};
  const PanelPlace part{
      .left = middle + 40, .right = kWidth - 40, .bottom = whole.bottom, .top = whole.top};

  std::string script = PageHead(stem, kWidth, height);
  script +=
      "set multiplot title 'Precision, recall and F1 of the classes (and their test samples)' "
      "font ',24'\n";
  script += PanelStyle() + Place(whole, kWidth, height);
  script += fmt::format(
      "set grid noytics\n"
      "set yrange [{}:-0.5]\nset ytics {} scale 0\nset xrange [0:100]\n"
      "set xlabel 'precision, recall, F1 (%)'\n",
      static_cast<double>(classes) - 0.5, NamedTics(names));
  std::vector<KeyBox> boxes;
  for (const Score& score : kScores) boxes.push_back({score.title, score.bar});
  script += BoxKey(boxes, (whole.left + whole.right) / 2, whole.top + 26, kWidth, height) + Bars();
  if (enlarged) {
    // Room for the markers at both ends.
    const double room = std::max(0.1, 0.05 * (100 - lowest));
    script += kNoBoxKey + Place(part, kWidth, height) +
              fmt::format(
                  "set key at graph 0.5, graph 1.012 bottom center horizontal maxrows 1 width -1 "
                  "samplen 1 Left reverse\nset grid ytics\nset ytics {}\nset xrange [{}:{}]\n"
                  "set xlabel 'the same, enlarged (%)'\n",
                  NamedTics(std::vector<std::string>(classes)), lowest - room, 100 + room);
    script += Points();
  }
  return {.name = stem, .data = Data(scores), .script = script + "unset multiplot\n"};
}

}  // namespace cddp

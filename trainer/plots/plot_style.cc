#include "trainer/plots/plot_style.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

#include "trainer/plots/gnuplot.h"

namespace cddp {
namespace {

struct Line {
  const char* color;
  int marker;
  const char* dashes;
};
constexpr std::array<Line, 8> kLines = {{
    {"#000000", 5, "solid"},
    {"#d55e00", 7, "(9,6)"},
    {"#0072b2", 9, "(18,8)"},
    {"#009e73", 13, "(14,5,3,5)"},
    {"#cc79a7", 11, "(4,5)"},
    {"#56b4e9", 4, "(14,5,3,5,3,5)"},
    {"#e69f00", 6, "(9,4,3,4)"},
    {"#666666", 8, "(24,6)"},
}};

// Pixels; a text of capitals alone is wider.
constexpr double kWidthOfCharacter = 16.5;
constexpr size_t kMostCharacters = 32;

// The smallest of 1, 2, 5, 10, 20, 50, ... that is at least `value`.
double NiceStep(double value) {
  const double power = std::pow(10, std::floor(std::log10(value)));
  for (double factor : {1, 2, 5}) {
    if (factor * power >= value * (1 - 1e-9)) return factor * power;
  }
  return 10 * power;
}

// At most so many tics of a logarithmic axis.
std::vector<double> LogarithmicTics(double low, double high, size_t most) {
  const auto at = [&](const std::vector<double>& factors, int every) {
    std::vector<double> tics;
    const int first = static_cast<int>(std::floor(std::log10(low)));
    for (int power = first - first % every - every; power <= std::log10(high); power += every) {
      for (double factor : factors) {
        const double tic = factor * std::pow(10, power);
        if (tic >= low && tic <= high) tics.push_back(tic);
      }
    }
    return tics;
  };
  for (const auto& factors : {std::vector<double>{1, 2, 5}, {1, 3}, {1}}) {
    if (const auto tics = at(factors, 1); tics.size() <= most) return tics;
  }
  for (int every = 2;; ++every) {
    if (const auto tics = at({1}, every); tics.size() <= most) return tics;
  }
}

// A label is a format of its value: its percent signs are doubled.
std::string Tic(const std::string& label, double value) {
  std::string format;
  for (const char c : label) format += c == '%' ? std::string("%%") : std::string(1, c);
  return fmt::format("{} {}", Quoted(format), value);
}

bool StartsCharacter(char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }

}  // namespace

std::string PageHead(const std::string& stem, double width, double height) {
  return fmt::format(
      "set terminal pngcairo noenhanced size {:.0f},{:.0f} font 'DejaVu Sans,{}' "
      "background 'white'\n"
      "set output {}\n"
      "data = {}\n",
      width, height, kFontSize, Quoted(stem + ".png"), Quoted(stem + ".dat"));
}

std::string PanelStyle() {
  return "set border lw 1.5\n"
         "set grid lt 1 lw 1 lc rgb '#dddddd'\n"
         "set tics nomirror\n"
         "set format '%g'\n"
         "set xlabel offset 0, 0.3\n";
}

std::string Place(const PanelPlace& place, double width, double height) {
  return fmt::format(
      "set lmargin at screen {:.5f}\nset rmargin at screen {:.5f}\n"
      "set bmargin at screen {:.5f}\nset tmargin at screen {:.5f}\n",
      place.left / width, place.right / width, place.bottom / height, place.top / height);
}

std::string BoxKey(const std::vector<KeyBox>& boxes, double x, double y, double width,
                   double height) {
  constexpr double kBox = 34;
  constexpr double kAfterBox = 10;
  constexpr double kAfterTitle = 34;
  constexpr double kHalfHeight = 9;
  // Of small letters, most of which are narrower than what TextPixels allows for.
  const auto title_width = [](const KeyBox& box) { return 0.9 * TextPixels(box.title); };
  double all = -kAfterTitle;
  for (const KeyBox& box : boxes) all += kBox + kAfterBox + title_width(box) + kAfterTitle;
  x -= all / 2;
  std::string key;
  for (const KeyBox& box : boxes) {
    key += fmt::format(
        "set object rectangle from screen {:.5f}, {:.5f} to screen {:.5f}, {:.5f} front "
        "fc rgb '{}' fs solid border lt -1\n"
        "set label '{}' at screen {:.5f}, {:.5f} left\n",
        x / width, (y - kHalfHeight) / height, (x + kBox) / width, (y + kHalfHeight) / height,
        box.color, box.title, (x + kBox + kAfterBox) / width, y / height);
    x += kBox + kAfterBox + title_width(box) + kAfterTitle;
  }
  return key;
}

std::string LineStyle(int number, int points) {
  const Line& line = kLines[static_cast<size_t>(number - 1) % kLines.size()];
  return fmt::format("set style line {} lc rgb '{}' pt {} ps 2 lw 3 dt {} pointinterval {}\n",
                     number, line.color, line.marker, line.dashes, std::max(1, points / 10));
}

std::string EpochAxis(int epochs, bool from_zero) {
  return fmt::format("set xrange [{}:{}]\nset xtics {}\nset xlabel 'epoch'\n", from_zero ? 0 : 0.5,
                     epochs + 0.5, std::max(1.0, NiceStep(epochs / 10.0)));
}

std::string ValueAxis(const std::string& name, double low, double high, bool logarithmic,
                      const std::function<std::string(double)>& label) {
  std::vector<double> tics;
  if (logarithmic) {
    low = std::max(0.7 * low, 1e-12 * high);
    high *= 1.4;
    tics = LogarithmicTics(low, high, 7);
    size_t characters = 0;
    for (double tic : tics) characters += label(tic).size();
    // Long labels beside each other would touch.
    if (name == "x" && characters > 24) tics = LogarithmicTics(low, high, 5);
  } else {
    low = 0;
    high *= 1.05;
    const double step = NiceStep(high / 6);
    for (int i = 0; i <= 6 && i * step <= high; ++i) tics.push_back(i * step);
  }
  std::vector<std::string> labels;
  for (double tic : tics) labels.push_back(Tic(label(tic), tic));
  return fmt::format("{0}set logscale {1}\nset {1}range [{2}:{3}]\nset {1}tics ({4})\n",
                     logarithmic ? "" : "un", name, low, high, fmt::join(labels, ", "));
}

std::string NamedTics(const std::vector<std::string>& names) {
  std::vector<std::string> tics;
  for (const std::string& name : names) tics.push_back(Tic(name, static_cast<double>(tics.size())));
  return fmt::format("({})", fmt::join(tics, ", "));
}

double TextPixels(const std::string& text) {
  return kWidthOfCharacter * static_cast<double>(std::ranges::count_if(text, StartsCharacter));
}

std::string Shortened(const std::string& text) {
  size_t characters = 0;
  size_t cut = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    if (!StartsCharacter(text[i])) continue;
    if (++characters == kMostCharacters) cut = i;
    if (characters > kMostCharacters) return text.substr(0, cut) + "…";
  }
  return text;
}

}  // namespace cddp

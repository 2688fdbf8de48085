#include "bench/select_plot.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "trainer/plots/gnuplot.h"
#include "trainer/plots/plot_style.h"

namespace cddp {
namespace {

constexpr double kWidth = 1650;
constexpr double kHeight = 1150;

struct Method {
  const char* key;
  const char* title;
  int line;  // of LineStyle
};

constexpr std::array<Method, 6> kMethods = {{
    {"pipeline_ms", "decompress-style pipeline (libtorch)", 2},
    {"topk_ms", "at::topk and gather", 5},
    {"nth_element_ms", "std::nth_element, one thread", 4},
    {"cold_ms", "cddp select, no threshold kept yet", 6},
    {"ms_median", "cddp select", 3},
    {"triad_ms", "triad e = g + a e (memory speed)", 1},
}};

using Series = std::vector<nlohmann::json>;

Series Choose(const nlohmann::json& rows) {
  std::vector<Series> all;
  const auto alike = [](const nlohmann::json& a, const nlohmann::json& b) {
    return std::ranges::all_of(std::array{"ratio", "threads", "distribution", "memory"},
                               [&](const char* key) { return a.at(key) == b.at(key); });
  };
  for (const nlohmann::json& row : rows) {
    const auto it =
        std::ranges::find_if(all, [&](const Series& s) { return alike(s.front(), row); });
    if (it == all.end()) {
      all.push_back({row});
    } else {
      it->push_back(row);
    }
  }
  // Of equals the first.
  return *std::ranges::max_element(
      all, {}, [](const Series& s) { return std::pair(s.size(), s.front().at("ratio") == 0.01); });
}

std::string DataBlock(const Series& series, const Method& method) {
  std::string block = fmt::format("# {}\n", method.key);
  for (const nlohmann::json& row : series) {
    if (row.at(method.key).is_null()) continue;
    block += fmt::format("{} {}\n", row.at("elements").get<uint64_t>(),
                         row.at(method.key).get<double>());
  }
  return block + "\n\n";
}

std::string Data(const Series& series) {
  std::string data = "# Elements and median time (ms), a block for each method.\n\n\n";
  for (const Method& method : kMethods) {
    if (!series.front().at(method.key).is_null()) data += DataBlock(series, method);
  }
  return data;
}

std::string Script(const Series& series, const std::string& stem) {
  const nlohmann::json& first = series.front();
  std::string styles;
  std::string plots;
  double slowest = 0;
  double fastest = std::numeric_limits<double>::infinity();
  for (const Method& method : kMethods) {
    if (first.at(method.key).is_null()) continue;
    styles += LineStyle(method.line, 1);
    plots += fmt::format("{}data index '{}' using 1:2 with linespoints ls {} title '{}'",
                         plots.empty() ? "plot " : ", ", method.key, method.line, method.title);
    for (const nlohmann::json& row : series) {
      slowest = std::max(slowest, row.at(method.key).get<double>());
      fastest = std::min(fastest, row.at(method.key).get<double>());
    }
  }
  const auto elements = [](const nlohmann::json& row) { return row.at("elements").get<double>(); };
  const auto [smallest, largest] = std::ranges::minmax(series, {}, elements);
  const auto millions = [](double count) { return fmt::format("{:g}", count / 1e6); };
  const auto milliseconds = [](double time) { return fmt::format("{:g}", time); };
  const int threads = first.at("threads").get<int>();
  return PageHead(stem, kWidth, kHeight) + PanelStyle() + styles +
         ValueAxis("x", elements(smallest), elements(largest), true, millions) +
         ValueAxis("y", fastest, slowest, true, milliseconds) +
         fmt::format(
             "set title \"Selecting the top {:g}% of a gradient with error feedback\\n"
             "{} gradients, memory {}, {} thread{}, cold caches\" font ',22'\n"
             "set xlabel 'gradient elements (millions)'\n"
             "set ylabel 'median time (ms)'\n"
             "set key below maxcols 2 samplen 5 Left reverse\nset bmargin 7.8\n"
             "{}\n",
             100 * first.at("ratio").get<double>(), first.at("distribution").get<std::string>(),
             first.at("memory").get<std::string>(), threads, threads == 1 ? "" : "s", plots);
}

}  // namespace

void PlotSelect(const nlohmann::json& rows, const std::filesystem::path& png) {
  RequirePngName(png);
  const Series series = Choose(rows);
  const std::string stem = png.stem().string();
  DrawPictures(png.parent_path(),
               {{.name = stem, .data = Data(series), .script = Script(series, stem)}});
}

}  // namespace cddp

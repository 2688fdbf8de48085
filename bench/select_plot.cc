#include "bench/select_plot.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "trainer/plots/gnuplot.h"

namespace cddp {
namespace {

struct Method {
  const char* key;
  const char* title;
  const char* style;
};

constexpr std::array<Method, 6> kMethods = {{
    {"pipeline_ms", "decompress-style pipeline (libtorch)", "lc rgb '#b2182b' pt 5"},
    {"topk_ms", "at::topk and gather", "lc rgb '#ef8a62' pt 7"},
    {"nth_element_ms", "std::nth\\\\_element, one thread", "lc rgb '#999999' pt 9"},
    {"cold_ms", "cddp select, no threshold kept yet", "lc rgb '#67a9cf' pt 13"},
    {"ms_median", "cddp select", "lc rgb '#2166ac' pt 11"},
    {"triad_ms", "triad e = g + a e (memory speed)", "lc rgb 'black' pt 1 dt 2"},
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

// [low, high] with some room, on a logarithmic axis.
std::string Range(double low, double high) {
  return fmt::format("[{}:{}]", 0.75 * low, 1.4 * high);
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
  std::string plots;
  double slowest = 0;
  double fastest = std::numeric_limits<double>::infinity();
  for (const Method& method : kMethods) {
    if (first.at(method.key).is_null()) continue;
    plots += fmt::format("{}data index '{}' using 1:2 with linespoints lw 2 ps 1.5 {} title \"{}\"",
                         plots.empty() ? "plot " : ", ", method.key, method.style, method.title);
    for (const nlohmann::json& row : series) {
      slowest = std::max(slowest, row.at(method.key).get<double>());
      fastest = std::min(fastest, row.at(method.key).get<double>());
    }
  }
  const auto elements = [](const nlohmann::json& row) { return row.at("elements").get<double>(); };
  const auto [smallest, largest] = std::ranges::minmax(series, {}, elements);
  const int threads = first.at("threads").get<int>();
  return fmt::format(
      "set terminal pngcairo size 1100,750 font 'DejaVu Sans,13' background 'white'\n"
      "set output {}\n"
      "data = {}\n"
      "set title \"Selecting the top {}% of a gradient with error feedback\\n"
      "{{/*0.85 {} gradients, memory {}, {} thread{}, cold caches}}\"\n"
      "set xlabel 'gradient elements'\n"
      "set ylabel 'median time (ms)'\n"
      "set logscale xy\n"
      "set xrange {}\n"
      "set yrange {}\n"
      "set format x '10^{{%T}}'\n"
      "set format y '%g'\n"
      "set grid xtics mxtics ytics lc rgb '#bbbbbb', lc rgb '#e6e6e6'\n"
      "set key top left reverse Left box lc rgb '#cccccc' opaque samplen 3\n"
      "{}\n",
      Quoted(stem + ".png"), Quoted(stem + ".dat"), 100 * first.at("ratio").get<double>(),
      first.at("distribution").get<std::string>(), first.at("memory").get<std::string>(), threads,
      threads == 1 ? "" : "s",
      // The key stands above the lines.
      Range(elements(smallest), elements(largest)), Range(fastest, 10 * slowest), plots);
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

#include "bench/select_report.h"

#include <fmt/format.h>

#include <array>

#include "trainer/json_file.h"

namespace cddp {
namespace {

constexpr std::array kSelectColumns = {"elements",
                                       "ratio",
                                       "threads",
                                       "distribution",
                                       "memory",
                                       "ms_median",
                                       "ratio_to_triad",
                                       "triad_ms",
                                       "triad_plain_ms",
                                       "triad_streaming_ms",
                                       "triad_beside_ms",
                                       "cold_ms",
                                       "cold_ratio_to_triad",
                                       "topk_ms",
                                       "pipeline_ms",
                                       "nth_element_ms",
                                       "speedup_vs_topk",
                                       "speedup_vs_pipeline",
                                       "speedup_vs_nth_element",
                                       "second_sweep_fraction",
                                       "cold_second_sweep_fraction"};

// How many times the selection's.
nlohmann::json TimesSelect(const std::optional<double>& time, const SelectTimes& t) {
  return time ? nlohmann::json(*time / t.select) : nlohmann::json();
}

std::string Times(const nlohmann::json& value, int digits) {
  return value.is_null() ? "-" : fmt::format("{:.{}f}x", value.get<double>(), digits);
}

}  // namespace

nlohmann::json SelectRow(const SelectCase& c, const SelectTimes& t) {
  return {{"elements", c.elements},
          {"ratio", c.ratio},
          {"threads", c.threads},
          {"distribution", c.distribution},
          {"memory", c.memory},
          {"ms_median", t.select},
          {"ratio_to_triad", t.select / t.triad()},
          {"triad_ms", t.triad()},
          {"triad_plain_ms", t.triad_plain},
          {"triad_streaming_ms", t.triad_streaming},
          {"triad_beside_ms", t.triad_beside},
          {"cold_ms", t.cold},
          {"cold_ratio_to_triad", t.cold / t.triad()},
          {"topk_ms", OrNull(t.topk)},
          {"pipeline_ms", OrNull(t.pipeline)},
          {"nth_element_ms", OrNull(t.nth_element)},
          {"speedup_vs_topk", TimesSelect(t.topk, t)},
          {"speedup_vs_pipeline", TimesSelect(t.pipeline, t)},
          {"speedup_vs_nth_element", TimesSelect(t.nth_element, t)},
          {"second_sweep_fraction", t.second_sweeps},
          {"cold_second_sweep_fraction", t.cold_second_sweeps}};
}

std::string TableHeader() {
  return fmt::format(
      "{:>10} {:>6} {:>3} {:<8} {:<8} {:>9} {:>9} {:>9} {:>7} {:>7} {:>8} {:>9} {:>8} {:>7}\n"
      "{:>10} {:>6} {:>3} {:<8} {:<8} {:>9} {:>9} {:>9} {:>7} {:>7} {:>8} {:>9} {:>8} {:>7}",
      "", "", "", "", "", "select", "triad", "beside", "select", "cold", "topk", "pipeline", "nth",
      "second", "elements", "ratio", "thr", "gradient", "memory", "ms", "ms", "ms", "/triad",
      "/triad", "/select", "/select", "/select", "sweeps");
}

std::string TableLine(const nlohmann::json& row) {
  const auto number = [&](const char* key) { return row.at(key).get<double>(); };
  return fmt::format(
      "{:>10} {:>6} {:>3} {:<8} {:<8} {:>9.3f} {:>9.3f} {:>9.3f} {:>7} {:>7} {:>8} {:>9} {:>8} "
      "{:>6.1f}%",
      row.at("elements").get<uint64_t>(), number("ratio"), row.at("threads").get<int>(),
      row.at("distribution").get<std::string>(), row.at("memory").get<std::string>(),
      number("ms_median"), number("triad_ms"), number("triad_beside_ms"),
      Times(row.at("ratio_to_triad"), 2), Times(row.at("cold_ratio_to_triad"), 2),
      Times(row.at("speedup_vs_topk"), 1), Times(row.at("speedup_vs_pipeline"), 1),
      Times(row.at("speedup_vs_nth_element"), 1), 100 * number("second_sweep_fraction"));
}

std::span<const char* const> SelectColumns() { return kSelectColumns; }

}  // namespace cddp

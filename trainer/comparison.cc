#include "trainer/comparison.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <functional>
#include <optional>

#include "trainer/json_file.h"
#include "trainer/report_file.h"

namespace cddp {
namespace {

using Maybe = std::optional<double>;
using Row = std::vector<std::string>;

Maybe Quotient(Maybe a, Maybe b) {
  return a && b && *a > 0 && *b > 0 ? Maybe(*a / *b) : std::nullopt;
}

bool IsOfText(const TrainingSummary& summary) { return summary.test_bits_per_byte.has_value(); }

RunFigures FiguresOf(const TrainingSummary& s) {
  return {.epoch_s = s.epoch_s_mean,
          .accuracy_percent = IsOfText(s) ? Maybe() : Maybe(s.test_accuracy_percent),
          .tx_bytes_per_step = s.tx_bytes_per_step};
}

const ComparedRun* Find(const Comparison& comparison, const std::string& label) {
  const auto it = std::ranges::find(comparison.runs, label, &ComparedRun::label);
  return it == comparison.runs.end() ? nullptr : &*it;
}

// A run against the others: the first in time, dense in the rest.
struct Relation {
  Maybe speedup, efficiency, accuracy_difference, reduction, seconds_to_accuracy;
};

Relation RelationOf(const ComparedRun& run, const Comparison& comparison) {
  Relation relation;
  const TrainingSummary& s = run.summary;
  relation.speedup = RelationTo(FiguresOf(comparison.runs.front().summary), FiguresOf(s)).speedup;
  if (const ComparedRun* baseline = Find(comparison, kBaseline)) {
    relation.efficiency = Quotient(s.images_per_s, s.world_size * baseline->summary.images_per_s);
  }
  const ComparedRun* dense = Find(comparison, kDense);
  if (dense != nullptr && dense != &run) {
    const RunRelation to_dense = RelationTo(FiguresOf(dense->summary), FiguresOf(s));
    relation.accuracy_difference = to_dense.accuracy_difference;
    relation.reduction = to_dense.tx_bytes_reduction;
  }
  if (comparison.target_accuracy_percent > 0) {
    const auto reached = std::ranges::find_if(s.evaluations, [&](const EvaluationRecord& at) {
      return at.test_accuracy_percent >= comparison.target_accuracy_percent;
    });
    if (reached != s.evaluations.end()) relation.seconds_to_accuracy = reached->train_s;
  }
  return relation;
}

// `pattern` of the number, or a dash.
std::string OrDash(std::string_view pattern, const Maybe& value) {
  return value ? fmt::format(fmt::runtime(pattern), *value) : "-";
}

}  // namespace

RunRelation RelationTo(const RunFigures& other, const RunFigures& run) {
  RunRelation relation{
      .speedup = Quotient(other.epoch_s, run.epoch_s),
      .accuracy_difference = {},
      .tx_bytes_reduction = Quotient(other.tx_bytes_per_step, run.tx_bytes_per_step)};
  if (other.accuracy_percent && run.accuracy_percent) {
    relation.accuracy_difference = *run.accuracy_percent - *other.accuracy_percent;
  }
  return relation;
}

nlohmann::json ToJson(const Comparison& comparison) {
  nlohmann::json runs = nlohmann::json::array();
  for (const ComparedRun& run : comparison.runs) {
    const Relation relation = RelationOf(run, comparison);
    runs.push_back({{"label", run.label},
                    {"run_folder", run.folder},
                    {"speedup", OrNull(relation.speedup)},
                    {"efficiency_fraction", OrNull(relation.efficiency)},
                    {"accuracy_difference_percent", OrNull(relation.accuracy_difference)},
                    {"tx_bytes_reduction", OrNull(relation.reduction)},
                    {"seconds_to_accuracy", OrNull(relation.seconds_to_accuracy)},
                    {"summary", ToJson(run.summary)}});
  }
  const double target = comparison.target_accuracy_percent;
  nlohmann::json report = {
      {"target_accuracy_percent", OrNull(target > 0 ? Maybe(target) : Maybe())}, {"runs", runs}};
  const ComparedRun* dense = Find(comparison, kDense);
  const auto compressed = std::ranges::find_if(
      comparison.runs, [](const ComparedRun& run) { return run.summary.compress; });
  if (dense != nullptr && compressed != comparison.runs.end()) {
    const Relation relation = RelationOf(*compressed, comparison);
    report["dense"] = ToJson(dense->summary);
    report["compressed"] = ToJson(compressed->summary);
    report["accuracy_difference_percent"] = OrNull(relation.accuracy_difference);
    report["tx_bytes_reduction"] = OrNull(relation.reduction);
    report["epoch_speedup"] =
        OrNull(Quotient(dense->summary.epoch_s_mean, compressed->summary.epoch_s_mean));
  }
  return report;
}

std::vector<Row> TableOf(const Comparison& comparison) {
  std::vector<Row> table;
  using Cell = std::function<std::string(const TrainingSummary&, const Relation&)>;
  const auto row = [&](const std::string& name, const Cell& cell) {
    Row cells{name};
    for (const ComparedRun& run : comparison.runs) {
      cells.push_back(cell(run.summary, RelationOf(run, comparison)));
    }
    // What no run has is left out.
    const bool empty = std::all_of(cells.begin() + 1, cells.end(),
                                   [](const std::string& text) { return text == "-"; });
    if (!empty) table.push_back(cells);
  };
  Row labels{""};
  for (const ComparedRun& run : comparison.runs) labels.push_back(run.label);
  table.push_back(labels);
  row("workers", [](const auto& s, const auto&) { return std::to_string(s.world_size); });
  row("test accuracy (%)",
      [](const auto& s, const auto&) { return OrDash("{:.2f}", FiguresOf(s).accuracy_percent); });
  row("difference to dense (points)",
      [](const auto&, const Relation& r) { return OrDash("{:+.2f}", r.accuracy_difference); });
  row("bits per byte",
      [](const auto& s, const auto&) { return OrDash("{:.3f}", s.test_bits_per_byte); });
  if (comparison.target_accuracy_percent > 0) {
    row(fmt::format("time to {}% test accuracy (s)", comparison.target_accuracy_percent),
        [](const auto&, const Relation& r) {
          return r.seconds_to_accuracy ? fmt::format("{:.2f}", *r.seconds_to_accuracy)
                                       : "not reached";
        });
  }
  row("epoch time (s)",
      [](const auto& s, const auto&) { return fmt::format("{:.2f}", s.epoch_s_mean); });
  row("speed-up", [](const auto&, const Relation& r) { return OrDash("{:.2f}", r.speedup); });
  row("efficiency (% of baseline per worker)", [](const auto&, const Relation& r) {
    return OrDash("{:.0f}", r.efficiency ? Maybe(100 * *r.efficiency) : Maybe());
  });
  row("step time, median (ms)",
      [](const auto& s, const auto&) { return fmt::format("{:.2f}", s.step_ms_median); });
  row(IsOfText(comparison.runs.front().summary) ? "windows/s" : "images/s",
      [](const auto& s, const auto&) { return fmt::format("{:.0f}", s.images_per_s); });
  row("bytes sent per worker and step",
      [](const auto& s, const auto&) { return fmt::format("{:.0f}", s.tx_bytes_per_step); });
  row("times fewer than dense",
      [](const auto&, const Relation& r) { return OrDash("{:.1f}", r.reduction); });
  return table;
}

std::string AlignedTable(const std::vector<Row>& table) {
  std::vector<size_t> widths(table.front().size(), 0);
  for (const Row& row : table) {
    for (size_t c = 0; c < row.size(); ++c) widths[c] = std::max(widths[c], row[c].size());
  }
  std::string text;
  for (const Row& row : table) {
    text += fmt::format("{:<{}}", row[0], widths[0]);
    for (size_t c = 1; c < row.size(); ++c) text += fmt::format("  {:>{}}", row[c], widths[c]);
    text += '\n';
  }
  return text;
}

std::string MarkdownTable(const std::vector<Row>& table) {
  std::string text;
  for (size_t r = 0; r < table.size(); ++r) {
    text += fmt::format("| {} |\n", fmt::join(table[r], " | "));
    if (r > 0) continue;
    text += "|---|";
    for (size_t c = 1; c < table[r].size(); ++c) text += "---:|";
    text += '\n';
  }
  return text;
}

std::string CsvOf(const Comparison& comparison) {
  static constexpr std::array kColumns = {"label",
                                          "speedup",
                                          "efficiency_fraction",
                                          "accuracy_difference_percent",
                                          "tx_bytes_reduction",
                                          "seconds_to_accuracy",
                                          "ratio",
                                          "world_size",
                                          "test_accuracy_percent",
                                          "test_loss",
                                          "epoch_s_mean",
                                          "step_ms_median",
                                          "images_per_s",
                                          "tx_bytes_per_step",
                                          "rx_bytes_per_step"};
  nlohmann::json rows = nlohmann::json::array();
  const nlohmann::json report = ToJson(comparison);
  for (const nlohmann::json& run : report["runs"]) {
    rows.push_back(run["summary"]);
    rows.back().update(run);
  }
  return CsvOf(kColumns, rows);
}

}  // namespace cddp

// Trainings of the same model side by side: the tables and files of `cddp compare`.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "trainer/history.h"

namespace cddp {

// What runs are compared by: nothing where it is not known, and no accuracy of a text, whose
// measure is bits per byte.
struct RunFigures {
  std::optional<double> epoch_s;
  std::optional<double> accuracy_percent;
  std::optional<double> tx_bytes_per_step;
};

// Of a run to another one; nothing where one of the two has no figure, or sends nothing.
struct RunRelation {
  std::optional<double> speedup;              // epoch time of the other / this one's
  std::optional<double> accuracy_difference;  // this one's - the other's, points
  std::optional<double> tx_bytes_reduction;   // bytes of the other / this one's
};
RunRelation RelationTo(const RunFigures& other, const RunFigures& run);

struct ComparedRun {
  std::string label;  // baseline (one worker), dense, or "top 1%"
  std::string folder;
  TrainingSummary summary;
};

struct Comparison {
  // The baseline, if there is one, then dense, then compressed; of those the ones that are done.
  std::vector<ComparedRun> runs;
  double target_accuracy_percent = 0;  // 0: none
};

inline constexpr const char* kBaseline = "baseline";
inline constexpr const char* kDense = "dense";

// {"target_accuracy_percent", "runs": [{"label", "run_folder", "speedup", "efficiency_fraction",
//   "accuracy_difference_percent", "tx_bytes_reduction", "seconds_to_accuracy", "summary"}],
//  "dense", "compressed": the summaries of dense and of the first compressed run,
//  "accuracy_difference_percent", "tx_bytes_reduction", "epoch_speedup": of those two}
//
// speedup: epoch time of the first run / this one's. efficiency_fraction: images/s per worker,
// as a share of the baseline's. Differences (none of texts) and reductions are to dense.
// seconds_to_accuracy: of training, until an evaluation found the target. What cannot be said
// is null.
nlohmann::json ToJson(const Comparison& comparison);

// The same as a table of texts: a row of labels, then a row for each quantity.
std::vector<std::vector<std::string>> TableOf(const Comparison& comparison);

// A table as text with aligned columns, as Markdown, and one line per run as CSV.
std::string AlignedTable(const std::vector<std::vector<std::string>>& table);
std::string MarkdownTable(const std::vector<std::vector<std::string>>& table);
std::string CsvOf(const Comparison& comparison);

}  // namespace cddp

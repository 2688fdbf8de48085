#include <fmt/format.h>

#include "cddp/status.h"
#include "trainer/json_file.h"
#include "trainer/plots/comparison_plot.h"
#include "trainer/plots/run_files.h"

namespace cddp {

Comparison ReadComparison(const std::filesystem::path& path) {
  const std::string file = path.string();
  const nlohmann::json json = ReadJsonFile(path);
  Comparison comparison;
  for (const nlohmann::json& said : Array(json, "runs", file)) {
    const std::string where = fmt::format("{}, run {}", file, comparison.runs.size() + 1);
    RequireKeys(said, {"label", "summary"}, where);
    const std::string summary_place = where + ", summary";
    ComparedRun run{.label = Text(said, "label", where),
                    .summary = ParseSummary(said["summary"], summary_place)};
    run.summary.history =
        ParseHistory(Array(said["summary"], "history", summary_place), summary_place + ", history");
    comparison.runs.push_back(std::move(run));
  }
  if (comparison.runs.empty()) {
    throw StatusError(StatusCode::kCorrupt, fmt::format("{}: it holds no runs", file));
  }
  const nlohmann::json& target = NumberOrNull(json, "target_accuracy_percent", file);
  if (!target.is_null()) comparison.target_accuracy_percent = target;
  return comparison;
}

}  // namespace cddp

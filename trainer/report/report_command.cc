#include "trainer/report/report_command.h"

#include <fmt/format.h>

#include <filesystem>
#include <iostream>
#include <set>

#include "cddp/status.h"
#include "trainer/data/file_bytes.h"
#include "trainer/report/page.h"
#include "trainer/report/read_run.h"
#include "trainer/report/report_data.h"

namespace cddp {

int ReportCommand(const ReportOptions& options) {
  namespace fs = std::filesystem;
  if (options.runs.empty()) {
    throw StatusError(StatusCode::kInvalidArgument, "no run folder given: cddp report RUN...");
  }
  std::vector<nlohmann::json> runs;
  std::set<fs::path> seen;
  for (const std::string& folder : options.runs) {
    for (nlohmann::json& run : ReadRuns(folder)) {
      // A comparison and a run of it may both be given.
      if (seen.insert(fs::weakly_canonical(run["folder"].get<std::string>())).second) {
        runs.push_back(std::move(run));
      }
    }
  }
  if (runs.empty()) {
    throw StatusError(StatusCode::kCorrupt, fmt::format("{}: the comparison holds no runs",
                                                        fmt::join(options.runs, ", ")));
  }

  const fs::path output =
      options.output.empty() ? fs::path(options.runs[0]) / "report.html" : fs::path(options.output);
  const std::string page = ReportPage(ReportData(std::move(runs)));
  try {
    WriteResult(output, {reinterpret_cast<const uint8_t*>(page.data()), page.size()});
  } catch (const StatusError& error) {
    throw StatusError(error.code(),
                      fmt::format("{}; choose another file with --output", error.what()));
  }
  std::cout << output.string() << std::endl;
  return 0;
}

}  // namespace cddp

#include "trainer/report/report_command.h"

#include <fmt/format.h>

#include <filesystem>
#include <iostream>
#include <set>

#include "cddp/status.h"
#include "trainer/data/file_bytes.h"
#include "trainer/failure.h"
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
  std::vector<std::string> notices;
  int exit_code = 0;
  const auto report = [&](const Status& error) {
    const int code = ReportFailure(error);
    if (exit_code == 0) exit_code = code;
    notices.push_back("Not shown: " + error.message());
  };
  std::set<fs::path> seen;
  fs::path output = options.output;
  for (const std::string& folder : options.runs) {
    try {
      FolderRuns read = ReadRuns(folder);
      if (output.empty() && !read.runs.empty()) output = fs::path(folder) / "report.html";
      for (nlohmann::json& run : read.runs) {
        // A comparison and a run of it may both be given.
        if (seen.insert(fs::weakly_canonical(run["folder"].get<std::string>())).second) {
          runs.push_back(std::move(run));
        }
      }
      for (const Status& error : read.errors) report(error);
    } catch (const StatusError& error) {
      report(error.status());
    }
  }
  if (runs.empty()) return exit_code;

  const std::string page = ReportPage(ReportData(std::move(runs), std::move(notices)));
  try {
    WriteResult(output, page);
  } catch (const StatusError& error) {
    throw StatusError(error.code(),
                      fmt::format("{}; choose another file with --output", error.what()));
  }
  std::cout << output.string() << std::endl;
  return exit_code;
}

}  // namespace cddp

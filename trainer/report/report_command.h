// `cddp report RUN...`
#pragma once

#include <string>
#include <vector>

namespace cddp {

struct ReportOptions {
  std::vector<std::string> runs;  // run folders, and folders of `cddp compare`
  std::string output;             // the HTML file; empty: report.html in the first of `runs`
};

// Writes the report and prints the file's path. A folder that comes twice is shown once.
// Returns the exit code. Throws StatusError: see ReadRuns, kInvalidArgument without runs,
// kUnavailable when the file can't be written.
int ReportCommand(const ReportOptions& options);

}  // namespace cddp

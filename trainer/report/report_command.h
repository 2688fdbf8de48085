// `cddp report RUN...`
#pragma once

#include <string>
#include <vector>

namespace cddp {

struct ReportOptions {
  std::vector<std::string> runs;  // run folders, and folders of `cddp compare`
  std::string output;             // the HTML file; empty: report.html in the first that is shown
};

// Writes the report and prints the file's path. A folder that comes twice is shown once. What
// can't be shown is said, here and on the page, and the rest shown all the same; when nothing
// is left there is no page. Returns the exit code of the first such error (see ReadRuns), or 0.
// Throws StatusError: kInvalidArgument without runs, kUnavailable when the file can't be written.
int ReportCommand(const ReportOptions& options);

}  // namespace cddp

#include "trainer/plots/plot_command.h"

#include <fmt/format.h>

#include <functional>
#include <system_error>
#include <utility>

#include "cddp/status.h"
#include "trainer/failure.h"
#include "trainer/plots/comparison_plot.h"
#include "trainer/plots/test_plots.h"
#include "trainer/plots/training_plot.h"

namespace cddp {
namespace {

namespace fs = std::filesystem;

bool Has(const fs::path& path) {
  std::error_code error;
  return fs::exists(path, error);
}

void RequireFolder(const fs::path& folder) {
  std::error_code error;
  if (fs::is_directory(folder, error)) return;
  throw StatusError(StatusCode::kUnavailable,
                    fmt::format("a folder of a run or of a comparison is expected, but {} is {}",
                                folder.string(), Has(folder) ? "a file" : "not there"));
}

[[noreturn]] void ThrowNothingToDraw(const fs::path& folder, const std::string& why) {
  throw StatusError(StatusCode::kInvalidArgument,
                    fmt::format("nothing to draw: {} {}", folder.string(), why));
}

std::string MissingFiles(const fs::path& folder) {
  // A run makes its folder before it ends its first epoch.
  if (Has(folder / "config.json")) {
    return "is half-written: history.json is missing, which comes with the end of the first epoch";
  }
  return "holds none of history.json (of cddp train), test.json (of cddp test) and "
         "comparison.json (of cddp compare)";
}

}  // namespace

FolderPictures DrawFolder(const fs::path& folder) {
  RequireFolder(folder);
  using Draw = std::function<std::vector<fs::path>()>;
  const std::pair<const char*, Draw> kinds[] = {
      {"history.json", [&] { return std::vector{WriteTrainingPlot(folder)}; }},
      {"test.json", [&] { return WriteTestPlots(folder); }},
      {"comparison.json", [&] { return std::vector{WriteComparisonPlot(folder)}; }}};
  FolderPictures pictures;
  bool any = false;
  for (const auto& [file, draw] : kinds) {
    if (!Has(folder / file)) continue;
    any = true;
    try {
      const std::vector<fs::path> paths = draw();
      pictures.paths.insert(pictures.paths.end(), paths.begin(), paths.end());
    } catch (const StatusError& error) {
      pictures.errors.push_back(error.status());
    }
  }
  if (!any) ThrowNothingToDraw(folder, MissingFiles(folder));
  if (pictures.paths.empty() && pictures.errors.empty()) {
    ThrowNothingToDraw(folder, "has the test.json of a text, which has no classes");
  }
  return pictures;
}

int PlotCommand(const std::vector<std::string>& folders) {
  int exit_code = 0;
  const auto report = [&](const Status& error) {
    const int code = ReportFailure(error);
    if (exit_code == 0) exit_code = code;
  };
  for (const std::string& folder : folders) {
    try {
      const FolderPictures pictures = DrawFolder(folder);
      for (const fs::path& path : pictures.paths) fmt::print("{}\n", path.string());
      for (const Status& error : pictures.errors) report(error);
    } catch (const StatusError& error) {
      report(error.status());
    }
  }
  return exit_code;
}

}  // namespace cddp

// `cddp plot FOLDER...`.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "cddp/status.h"

namespace cddp {

// Draws for each folder all that its files allow, see DrawFolder, and prints the pictures'
// paths. What cannot be drawn is said with an error and the rest drawn all the same. Returns
// the exit code of the first error, or 0.
int PlotCommand(const std::vector<std::string>& folders);

struct FolderPictures {
  std::vector<std::filesystem::path> paths;
  std::vector<Status> errors;  // of the files that could not be drawn
};

// Draws training.png from history.json and summary.json, confusion.png, classes.png and
// calibration.png from test.json, comparison.png from comparison.json: what is there of
// them. Errors are kUnavailable (something cannot be read or written; gnuplot is not there:
// then data and scripts are written) and kCorrupt (cut off or of another version; the message
// names file and place).
//
// Throws StatusError: kUnavailable when there is no such folder, kInvalidArgument when it
// holds nothing to draw.
FolderPictures DrawFolder(const std::filesystem::path& folder);

}  // namespace cddp

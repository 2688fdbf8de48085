// What `cddp test` left in test.json, as its pictures need it. Any thread.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "trainer/classification.h"

namespace cddp {

struct TestScores {
  std::vector<std::string> class_names;  // at least one
  // Without what no picture shows: averages, top confusions, the worst samples.
  ClassificationReport report;
};

// None for a text, which has no classes. Throws StatusError: kUnavailable when the file
// cannot be read; kCorrupt, naming the place, when it is cut off or of another version.
std::optional<TestScores> ReadTestScores(const std::filesystem::path& path);

}  // namespace cddp

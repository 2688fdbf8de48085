// test.json of a run, as `cddp test` writes it, checked so far that the page can draw it.
//
// Any thread.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>

namespace cddp {

// The parts that the page shows. Of a text there is no "class_names" and nothing that goes by
// classes. Throws StatusError: kUnavailable when the file can't be read, kCorrupt naming the
// place and what is expected there.
nlohmann::json ReadTestResult(const std::filesystem::path& path);

}  // namespace cddp

// A check of a flag's number, for CLI::Option::check, whose message is one to act on: CLI11's own
// print limits as doubles, of 309 digits.
#pragma once

#include <CLI/CLI.hpp>
#include <limits>

namespace cddp {

// Refuses what is no number from `least` to `most`.
CLI::Validator NumberRange(double least, double most = std::numeric_limits<double>::infinity());

}  // namespace cddp

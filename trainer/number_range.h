// Checks of a flag's number, for CLI::Option::check, whose messages are ones to act on: CLI11's own
// print limits as doubles, of 309 digits.
#pragma once

#include <CLI/CLI.hpp>
#include <limits>

namespace cddp {

// Refuses what is no number from `least` to `most`.
CLI::Validator NumberRange(double least, double most = std::numeric_limits<double>::infinity());

// Of all options of whole numbers: CLI11 takes 010 for 8, and what has more than 64 bits for the
// largest that has not.
void RequireDecimals(CLI::App* app);

}  // namespace cddp

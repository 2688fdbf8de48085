// Where a benchmark writes its rows.
#pragma once

#include <nlohmann/json.hpp>
#include <span>
#include <string>

namespace cddp {

struct BenchOutputs {
  std::string json;
  std::string csv;
};

// Throws StatusError(kUnavailable), naming the flag, when they cannot be written: to be
// asked before hours of measurement.
void RequireOutputs(const BenchOutputs& outputs);

// Writes the rows, with `columns`, as CSV and as JSON: a single one as an object, several
// under "rows". `settings` and the machine join the JSON.
void WriteOutputs(const BenchOutputs& outputs, std::span<const char* const> columns,
                  const nlohmann::json& rows, const nlohmann::json& settings);

}  // namespace cddp

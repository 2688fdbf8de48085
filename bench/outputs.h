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

// The same for one file.
void RequireOutput(const std::string& flag, const std::string& path);

// One line per row, after one of names.
std::string CsvOf(std::span<const char* const> columns, const nlohmann::json& rows);

// Writes the rows, with `columns`, as CSV and as JSON: a single one as an object, several
// under "rows". `settings` and the machine join the JSON.
void WriteOutputs(const BenchOutputs& outputs, std::span<const char* const> columns,
                  const nlohmann::json& rows, const nlohmann::json& settings);

}  // namespace cddp

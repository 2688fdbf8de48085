// What commands report, as JSON and as CSV.
#pragma once

#include <cstdio>
#include <nlohmann/json.hpp>
#include <span>
#include <string>

namespace cddp {

// Writes `report` to the file (into it, when it is a device or a pipe), or to
// standard output for "-"; nothing for "". Throws StatusError(kUnavailable).
void WriteJsonReport(const std::string& json, const nlohmann::json& report);

// Throws StatusError(kUnavailable) when WriteJsonReport could not write there: to
// be asked before hours of training.
void RequireWritableReport(const std::string& json);

// The same for the file of another flag; nothing for "".
void RequireOutput(const std::string& flag, const std::string& path);

// Where a table for people goes: standard output, unless that is for the report.
std::FILE* TableStream(const std::string& json);

// A line of names, and one for each row, an object that has all of them; what is null is empty.
std::string CsvOf(std::span<const char* const> columns, const nlohmann::json& rows);

}  // namespace cddp

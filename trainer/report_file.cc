#include "trainer/report_file.h"

#include <fmt/format.h>

#include <iostream>

#include "cddp/status.h"
#include "trainer/data/file_bytes.h"

namespace cddp {

void WriteJsonReport(const std::string& json, const nlohmann::json& report) {
  if (json.empty()) return;
  if (json == "-") {
    std::cout << report.dump(2) << std::endl;
  } else {
    WriteResult(json, report.dump(2) + '\n');
  }
}

void RequireWritableReport(const std::string& json) {
  if (json != "-") RequireOutput("--json", json);
}

void RequireOutput(const std::string& flag, const std::string& path) {
  if (path.empty()) return;
  try {
    RequireWritableResult(path);
  } catch (const StatusError& error) {
    throw StatusError(error.code(), fmt::format("{} {}: {}", flag, path, error.what()));
  }
}

std::FILE* TableStream(const std::string& json) { return json == "-" ? stderr : stdout; }

std::string CsvOf(std::span<const char* const> columns, const nlohmann::json& rows) {
  std::string csv = fmt::format("{}\n", fmt::join(columns, ","));
  for (const nlohmann::json& row : rows) {
    std::vector<std::string> cells;
    for (const char* column : columns) {
      const nlohmann::json& value = row.at(column);
      cells.push_back(value.is_null()     ? ""
                      : value.is_string() ? value.get<std::string>()
                                          : value.dump());
    }
    csv += fmt::format("{}\n", fmt::join(cells, ","));
  }
  return csv;
}

}  // namespace cddp

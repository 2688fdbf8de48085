#include "bench/outputs.h"

#include <fmt/format.h>

#include "cddp/status.h"
#include "trainer/data/file_bytes.h"
#include "trainer/history.h"
#include "trainer/machine.h"

namespace cddp {

void RequireOutputs(const BenchOutputs& outputs) {
  RequireWritableReport(outputs.json);
  RequireOutput("--csv", outputs.csv);
}

void RequireOutput(const std::string& flag, const std::string& path) {
  if (path.empty()) return;
  try {
    RequireWritableResult(path);
  } catch (const StatusError& error) {
    throw StatusError(error.code(), fmt::format("{} {}: {}", flag, path, error.what()));
  }
}

std::string CsvOf(std::span<const char* const> columns, const nlohmann::json& rows) {
  std::string csv;
  for (const char* column : columns) csv += (csv.empty() ? "" : ",") + std::string(column);
  csv += '\n';
  for (const nlohmann::json& row : rows) {
    for (size_t i = 0; i < columns.size(); ++i) {
      const nlohmann::json& value = row.at(columns[i]);
      const std::string text = value.is_string() ? value.get<std::string>() : value.dump();
      csv += (i == 0 ? "" : ",") + (value.is_null() ? "" : text);
    }
    csv += '\n';
  }
  return csv;
}

void WriteOutputs(const BenchOutputs& outputs, std::span<const char* const> columns,
                  const nlohmann::json& rows, const nlohmann::json& settings) {
  nlohmann::json report = rows.size() == 1 ? rows[0] : nlohmann::json{{"rows", rows}};
  report.update(settings);
  report["machine"] = MachineDescription();
  WriteJsonReport(outputs.json, report);
  if (!outputs.csv.empty()) {
    const std::string csv = CsvOf(columns, rows);
    WriteResult(outputs.csv, {reinterpret_cast<const uint8_t*>(csv.data()), csv.size()});
  }
}

}  // namespace cddp

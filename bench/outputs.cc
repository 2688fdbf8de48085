#include "bench/outputs.h"

#include "trainer/data/file_bytes.h"
#include "trainer/machine.h"
#include "trainer/report_file.h"

namespace cddp {

void RequireOutputs(const BenchOutputs& outputs) {
  RequireWritableReport(outputs.json);
  RequireOutput("--csv", outputs.csv);
}

void WriteOutputs(const BenchOutputs& outputs, std::span<const char* const> columns,
                  const nlohmann::json& rows, const nlohmann::json& settings) {
  nlohmann::json report = rows.size() == 1 ? rows[0] : nlohmann::json{{"rows", rows}};
  report.update(settings);
  report["machine"] = MachineDescription();
  WriteJsonReport(outputs.json, report);
  if (!outputs.csv.empty()) WriteResult(outputs.csv, CsvOf(columns, rows));
}

}  // namespace cddp

#include "trainer/report/metrics_file.h"

#include <fmt/format.h>

#include <string>
#include <string_view>

#include "trainer/data/file_bytes.h"
#include "trainer/json_file.h"

namespace cddp {
namespace {

constexpr uint64_t kMostBytes = 1 << 30;

MetricsRecord RecordOf(const nlohmann::json& line, bool of_epoch, const std::string& where) {
  MetricsRecord record{.of_epoch = of_epoch,
                       .step = static_cast<uint64_t>(Number(line, "step", where)),
                       .epoch = static_cast<int>(Number(line, "epoch", where)),
                       .tx_bytes_per_step = Number(line, "tx_bytes_per_step", where)};
  if (of_epoch) {
    record.epoch_s = Number(line, "epoch_s", where);
    return record;
  }
  if (const nlohmann::json& loss = NumberOrNull(line, "loss", where); loss.is_number()) {
    record.loss = loss.get<double>();
  }
  for (const char* phase : {"data_ms", "forward_ms", "backward_ms", "exposed_ms", "optimizer_ms"}) {
    record.step_s += Number(line, phase, where) / 1000;
  }
  return record;
}

}  // namespace

std::vector<MetricsRecord> ReadMetrics(const std::filesystem::path& path) {
  const std::vector<uint8_t> bytes = ReadFileBytes(path, kMostBytes);
  std::string_view left(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  std::vector<MetricsRecord> records;
  size_t number = 0;
  for (size_t end; (end = left.find('\n')) != std::string_view::npos; left.remove_prefix(end + 1)) {
    const nlohmann::json line = ParseJson(left.substr(0, end), path.string(), ++number);
    const std::string where = fmt::format("{}, line {}", path.string(), number);
    const std::string kind = Text(line, "kind", where);
    if (kind != "step" && kind != "epoch") continue;
    const MetricsRecord record = RecordOf(line, kind == "epoch", where);
    // An epoch's record may follow one of the same step.
    while (!records.empty() &&
           (records.back().step > record.step ||
            (records.back().step == record.step && records.back().of_epoch >= record.of_epoch))) {
      records.pop_back();
    }
    records.push_back(record);
  }
  return records;
}

}  // namespace cddp

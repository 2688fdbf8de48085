#include "trainer/report/curves.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "cddp/status.h"
#include "trainer/history.h"
#include "trainer/json_file.h"

namespace cddp {
namespace {

nlohmann::json Rounded(std::optional<double> value) {
  if (!value || !std::isfinite(*value)) return nullptr;
  return std::stod(fmt::format("{:.6g}", *value));
}

std::map<int, double> StepsOfEpochs(const std::vector<MetricsRecord>& metrics) {
  std::map<int, double> steps;
  std::map<int, uint64_t> ends = {{0, 0}};
  for (const MetricsRecord& record : metrics) {
    if (!record.of_epoch) continue;
    ends[record.epoch] = record.step;
    // Of an epoch whose beginning is not in the log nothing is known.
    const auto before = ends.find(record.epoch - 1);
    if (before == ends.end() || before->second >= record.step) continue;
    steps[record.epoch] = static_cast<double>(record.step - before->second);
  }
  return steps;
}

}  // namespace

nlohmann::json EpochCurves(const nlohmann::json& history, const std::vector<MetricsRecord>& metrics,
                           std::optional<double> steps, const std::string& source) {
  if (!history.is_array()) {
    throw StatusError(
        StatusCode::kCorrupt,
        fmt::format("{}: an array of epochs is expected, got {}", source, history.type_name()));
  }
  std::vector<std::string> keys;
  const nlohmann::json pattern = ToJson(EpochRecord());
  for (const auto& [key, unused] : pattern.items()) keys.push_back(key);

  const std::map<int, double> known = StepsOfEpochs(metrics);
  nlohmann::json columns = nlohmann::json::object();
  for (const std::string& key : keys) columns[key] = nlohmann::json::array();
  nlohmann::json seconds = nlohmann::json::array(), bytes = nlohmann::json::array();
  nlohmann::json bits = nlohmann::json::array();
  double sum_s = 0, sum_bytes = 0;
  for (size_t i = 0; i < history.size(); ++i) {
    const nlohmann::json& record = history[i];
    const std::string where = fmt::format("{}, record {}", source, i + 1);
    RequireKeys(record, keys, where);
    for (const std::string& key : keys) {
      const nlohmann::json& value = NumberOrNull(record, key, where);
      columns[key].push_back(value.is_null() ? value : Rounded(value.get<double>()));
    }
    if (record.contains("test_bits_per_byte")) {
      bits.push_back(Rounded(Number(record, "test_bits_per_byte", where)));
    }
    sum_s += Number(record, "epoch_s", where);
    seconds.push_back(Rounded(sum_s));
    const auto found = known.find(static_cast<int>(Number(record, "epoch", where)));
    const double epoch_steps = found != known.end() ? found->second
                               : steps              ? *steps / static_cast<double>(history.size())
                                                    : std::nan("");
    sum_bytes += epoch_steps * Number(record, "tx_bytes_per_step", where);
    bytes.push_back(Rounded(sum_bytes));
  }
  columns["seconds"] = seconds;
  columns["bytes"] = bytes;
  if (!bits.empty() && bits.size() == history.size()) columns["test_bits_per_byte"] = bits;
  return columns;
}

nlohmann::json StepCurve(const std::vector<MetricsRecord>& metrics, size_t most) {
  const auto count = static_cast<size_t>(
      std::ranges::count_if(metrics, [](const MetricsRecord& r) { return !r.of_epoch; }));
  if (count == 0) return nullptr;
  const size_t per_point = (count + most - 1) / most;

  const std::map<int, double> known = StepsOfEpochs(metrics);
  nlohmann::json epoch = nlohmann::json::array(), seconds = epoch, bytes = epoch, loss = epoch;
  // Where the last record ended, and where its epoch began.
  double step = 0, at_s = 0, at_bytes = 0;
  double begin_step = 0, begin_s = 0, begin_bytes = 0;
  double sum = 0, summed = 0;
  size_t records = 0, seen = 0;
  for (const MetricsRecord& record : metrics) {
    const double last = static_cast<double>(record.step);
    if (record.of_epoch) {
      // Exact, with the steps behind the epoch's last record.
      at_s = std::max(at_s, begin_s + record.epoch_s);
      at_bytes = std::max(at_bytes, begin_bytes + (last - begin_step) * record.tx_bytes_per_step);
      begin_step = step = last;
      begin_s = at_s;
      begin_bytes = at_bytes;
      continue;
    }
    at_s += (last - step) * record.step_s;
    at_bytes += (last - step) * record.tx_bytes_per_step;
    step = last;
    if (record.loss) {
      sum += *record.loss;
      summed += 1;
    }
    if (++seen; ++records < per_point && seen < count) continue;
    auto found = known.find(record.epoch);
    if (found == known.end() && !known.empty()) found = std::prev(known.end());
    epoch.push_back(
        found == known.end()
            ? nlohmann::json()
            : Rounded(record.epoch - 1 + std::min(1.0, (step - begin_step) / found->second)));
    seconds.push_back(Rounded(at_s));
    bytes.push_back(Rounded(at_bytes));
    loss.push_back(summed > 0 ? Rounded(sum / summed) : nlohmann::json());
    sum = summed = 0;
    records = 0;
  }
  return {{"epoch", epoch},
          {"seconds", seconds},
          {"bytes", bytes},
          {"loss", loss},
          {"records_per_point", per_point}};
}

}  // namespace cddp

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

// Where an epoch lies among the steps.
struct Span {
  double begin = 0;  // steps before it
  double steps = 0;
};

// Of the epochs that ended.
std::map<int, Span> SpansOfEpochs(const std::vector<MetricsRecord>& metrics) {
  std::map<int, double> ends = {{0, 0}};
  for (const MetricsRecord& record : metrics) {
    if (record.of_epoch) ends[record.epoch] = static_cast<double>(record.step);
  }
  std::map<int, Span> spans;
  for (const auto& [epoch, end] : ends) {
    const auto before = ends.find(epoch - 1);
    if (before != ends.end() && before->second < end) {
      spans[epoch] = {before->second, end - before->second};
    }
  }
  // A resumed run's log may begin later than an epoch that it ends: it has as many steps as the
  // next one, or else its share of all so far.
  for (const auto& [epoch, end] : ends) {
    if (epoch == 0 || spans.contains(epoch)) continue;
    const auto other = spans.upper_bound(epoch);
    const double steps = other != spans.end() ? other->second.steps : end / epoch;
    spans[epoch] = {std::max(0.0, end - steps), steps};
  }
  return spans;
}

// Epochs behind the last that ended are as long.
std::optional<Span> SpanOf(int epoch, const std::map<int, Span>& spans) {
  if (spans.empty()) return std::nullopt;
  if (const auto found = spans.find(epoch); found != spans.end()) return found->second;
  const auto& [last, span] = *spans.rbegin();
  return Span{span.begin + (epoch - last) * span.steps, span.steps};
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

  const std::map<int, Span> spans = SpansOfEpochs(metrics);
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
      const nlohmann::json& value = NumberOrNull(record, "test_bits_per_byte", where);
      bits.push_back(value.is_null() ? value : Rounded(value.get<double>()));
    }
    sum_s += Number(record, "epoch_s", where);
    seconds.push_back(Rounded(sum_s));
    const auto found = spans.find(static_cast<int>(Number(record, "epoch", where)));
    const double epoch_steps = found != spans.end() ? found->second.steps
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

  const std::map<int, Span> spans = SpansOfEpochs(metrics);
  nlohmann::json epoch = nlohmann::json::array(), seconds = epoch, bytes = epoch, loss = epoch;
  // What was before the log begins took as long, and sent as much, as its first record.
  const MetricsRecord& first = metrics.front();
  const Span begin = SpanOf(first.epoch, spans).value_or(Span());
  const double first_step_s = first.of_epoch ? first.epoch_s / begin.steps : first.step_s;
  // Where the last record ended, and where its epoch began.
  double step = begin.begin, at_s = step * first_step_s, at_bytes = step * first.tx_bytes_per_step;
  double begin_step = step, begin_s = at_s, begin_bytes = at_bytes;
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
    const std::optional<Span> span = SpanOf(record.epoch, spans);
    epoch.push_back(
        span ? Rounded(record.epoch - 1 + std::clamp((step - span->begin) / span->steps, 0.0, 1.0))
             : nlohmann::json());
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

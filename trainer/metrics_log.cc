#include "trainer/metrics_log.h"

#include <spdlog/spdlog.h>

#include <chrono>
#include <iostream>
#include <utility>
#include <vector>

#include "cddp/status.h"

namespace cddp {

MetricsLog::MetricsLog(const std::filesystem::path& folder, bool tensorboard, bool echo)
    : echo_(echo), lines_(folder / "metrics.jsonl") {
  if (tensorboard) events_.emplace(folder);
}

void MetricsLog::Append(const std::string& kind, uint64_t step, const nlohmann::json& scalars) {
  const double wall_time =
      std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
  // In the order in which a person reads them.
  nlohmann::ordered_json line = {{"kind", kind}, {"step", step}, {"wall_time", wall_time}};
  std::vector<std::pair<std::string, float>> values;
  for (const auto& [name, value] : scalars.items()) {
    line[name] = value;
    if (value.is_number()) values.emplace_back(kind + '/' + name, value.get<float>());
  }
  const std::string text = line.dump();
  if (echo_) std::cout << text << std::endl;
  try {
    lines_.Append(text + '\n');
    if (events_) events_->Append(wall_time, static_cast<int64_t>(step), values);
  } catch (const StatusError& error) {
    if (!failure_.empty()) return;
    failure_ = error.what();
    spdlog::warn("records of the training are left out: {}; training goes on", failure_);
  }
}

}  // namespace cddp

#include "trainer/layer_log.h"

namespace cddp {

nlohmann::json LayerLog::Record(int epoch, const Compressor& compressor) const {
  nlohmann::json layers = nlohmann::json::array();
  for (const auto& [parameter, now] : compressor.parameter_statistics()) {
    const auto it = before_.find(parameter);
    const ParameterStatistics before = it == before_.end() ? ParameterStatistics() : it->second;
    nlohmann::json sent;
    if (now.steps > before.steps) {
      sent = static_cast<double>(now.entries - before.entries) /
             (static_cast<double>(now.steps - before.steps) * now.elements);
    }
    layers.push_back({{"name", parameter},
                      {"elements", now.elements},
                      {"sent_fraction", sent},
                      {"residual_norm", compressor.memory().ResidualNorm(parameter)}});
  }
  return {{"epoch", epoch}, {"layers", layers}};
}

}  // namespace cddp

#include "trainer/layer_log.h"

namespace cddp {

nlohmann::json LayerLog::Record(int epoch, const Compression& compression) const {
  const NormByParameter norms = compression.ResidualNorms();
  nlohmann::json layers = nlohmann::json::array();
  for (const auto& [parameter, now] : compression.parameter_statistics()) {
    const auto it = before_.find(parameter);
    const ParameterStatistics before = it == before_.end() ? ParameterStatistics() : it->second;
    nlohmann::json sent;
    if (now.steps > before.steps) {
      sent = static_cast<double>(now.entries - before.entries) /
             (static_cast<double>(now.steps - before.steps) * now.elements);
    }
    const auto norm = norms.find(parameter);
    layers.push_back({{"name", parameter},
                      {"elements", now.elements},
                      {"sent_fraction", sent},
                      {"residual_norm", norm == norms.end() ? 0.0 : norm->second}});
  }
  return {{"epoch", epoch}, {"layers", layers}};
}

}  // namespace cddp

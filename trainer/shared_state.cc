#include "trainer/shared_state.h"

#include <fmt/format.h>

#include "cddp/status.h"
#include "trainer/data/file_bytes.h"

namespace cddp {

std::filesystem::path SharedStateFile(const std::filesystem::path& checkpoint) {
  return checkpoint / "state.json";
}

nlohmann::json ToJson(const SharedState& state) {
  return {{"step", state.step},
          {"world_size", state.world_size},
          {"configuration", state.configuration},
          {"data_sha256", state.data_sha256},
          {"plan", state.plan},
          {"plan_settled", state.plan_settled},
          {"channels_last_shares", state.channels_last_shares},
          {"loop", state.loop}};
}

SharedState ReadSharedState(const std::filesystem::path& checkpoint) {
  constexpr uint64_t kMostBytes = uint64_t{1} << 30;
  const std::filesystem::path file = SharedStateFile(checkpoint);
  try {
    const auto json = nlohmann::json::parse(ReadFileBytes(file, kMostBytes));
    return {.step = json.at("step"),
            .world_size = json.at("world_size"),
            .configuration = json.at("configuration"),
            .data_sha256 = json.value("data_sha256", ""),
            .plan = json.at("plan"),
            .plan_settled = json.at("plan_settled"),
            .channels_last_shares = json.value("channels_last_shares", false),
            .loop = json.at("loop")};
  } catch (const nlohmann::json::exception& error) {
    throw StatusError(StatusCode::kCorrupt, fmt::format("{}: {}", file.string(), error.what()));
  }
}

}  // namespace cddp

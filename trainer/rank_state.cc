#include "trainer/rank_state.h"

#include <fmt/format.h>

#include <cstring>
#include <string_view>

#include "cddp/status.h"

namespace cddp {
namespace {

using Json = nlohmann::json;

constexpr std::string_view kMemory = "memory/";
constexpr std::string_view kOwner = "owner/";
constexpr const char* kGenerator = "generator";
constexpr const char* kState = "state";

Json ToJson(const CompressorState& state) {
  Json budgets = Json::object();
  for (const auto& [parameter, budget] : state.budgets) {
    budgets[parameter] = {
        {"elements", budget.elements}, {"energy", budget.energy}, {"entries", budget.entries}};
  }
  return {{"ratio", state.ratio},
          {"budgets", budgets},
          {"selector", state.selector},
          {"memory", state.memory_name}};
}

void FromJson(const Json& json, CompressorState* state) {
  state->ratio = json.at("ratio");
  state->selector = json.at("selector");
  state->memory_name = json.value("memory", std::string());  // older ones do not tell
  for (const auto& [parameter, budget] : json.at("budgets").items()) {
    state->budgets[parameter] = {.elements = budget.at("elements"),
                                 .energy = budget.at("energy"),
                                 .entries = budget.at("entries")};
  }
}

void AddViews(std::string_view prefix, const MemoryState& memory, TensorViews* views) {
  for (const auto& [name, values] : memory) {
    views->emplace(fmt::format("{}{}", prefix, name), ViewOf(values));
  }
}

// True, and the tensor in *memory, when its name begins with the prefix.
bool TakeInto(MemoryState* memory, std::string_view prefix, const std::string& name,
              const TensorView& tensor) {
  if (!name.starts_with(prefix) || tensor.type != TensorType::kF32) return false;
  std::vector<float>& values = (*memory)[name.substr(prefix.size())];
  values.resize(tensor.bytes.size() / sizeof(float));
  if (!values.empty()) std::memcpy(values.data(), tensor.bytes.data(), tensor.bytes.size());
  return true;
}

}  // namespace

FileDigest WriteRankState(const std::filesystem::path& path, const RankState& state) {
  TensorViews views;
  AddViews(kMemory, state.compressor.memory, &views);
  AddViews(kOwner, state.owner, &views);
  views[kGenerator] = {
      .type = TensorType::kU8, .shape = {state.generator.size()}, .bytes = state.generator};
  const Json json{{"compressor", ToJson(state.compressor)}, {"rest", state.rest}};
  return WriteCheckpointFile(path, LayOutSafetensors(views, {{kState, json.dump()}}));
}

RankState ReadRankState(const std::filesystem::path& path) {
  const Safetensors file = Safetensors::Read(path);
  RankState state;
  try {
    for (const auto& [name, tensor] : file.tensors()) {
      if (name == kGenerator && tensor.type == TensorType::kU8) {
        state.generator.assign(tensor.bytes.begin(), tensor.bytes.end());
      } else if (!TakeInto(&state.compressor.memory, kMemory, name, tensor) &&
                 !TakeInto(&state.owner, kOwner, name, tensor)) {
        throw StatusError(
            StatusCode::kCorrupt,
            fmt::format("{}: tensor \"{}\" is no part of a rank's state", path.string(), name));
      }
    }
    const auto text = file.metadata().find(kState);
    const Json json = Json::parse(text == file.metadata().end() ? "" : text->second);
    FromJson(json.at("compressor"), &state.compressor);
    state.rest = json.at("rest");
  } catch (const Json::exception& error) {
    throw StatusError(StatusCode::kCorrupt, fmt::format("{}: {}", path.string(), error.what()));
  }
  return state;
}

}  // namespace cddp

// What all ranks of a run have agreed on, as a checkpoint keeps it: its state.json.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <string>

namespace cddp {

struct SharedState {
  uint64_t step = 0;  // steps done
  int world_size = 0;
  std::map<std::string, std::string> configuration;  // flag -> value: AgreedConfiguration
  std::string data_sha256;                           // DatasetSplits::sha256; empty: not known
  nlohmann::json plan;                               // of `auto` (plan_file.h), else null
  bool plan_settled = false;
  bool channels_last_shares = false;  // owners' shares are of parameters in that order
  nlohmann::json loop;  // what the training loop wants to find again (training_progress.h)
};

// Of a checkpoint.
std::filesystem::path SharedStateFile(const std::filesystem::path& checkpoint);

nlohmann::json ToJson(const SharedState& state);
// Throws StatusError: kUnavailable when the file cannot be read, kCorrupt naming it and what is
// wrong.
SharedState ReadSharedState(const std::filesystem::path& checkpoint);

}  // namespace cddp

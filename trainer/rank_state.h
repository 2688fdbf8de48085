// What each rank keeps for itself in a checkpoint: a safetensors file with its memories
// ("memory/<name>", "owner/<name>") and its random generator ("generator"), and under
// "state" of its metadata, as JSON, what is no tensor.
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <vector>

#include "cddp/compressor.h"
#include "trainer/checkpoint_folder.h"

namespace cddp {

struct RankState {
  CompressorState compressor;      // what it is by default without compression
  MemoryState owner;               // as an owner of others' entries
  std::vector<uint8_t> generator;  // what libtorch saves of its default generator
  nlohmann::json rest;             // of the training loop
};

// Throws StatusError(kUnavailable).
FileDigest WriteRankState(const std::filesystem::path& path, const RankState& state);

// Throws StatusError: kUnavailable, or kCorrupt naming what in the file is not as it
// should be.
RankState ReadRankState(const std::filesystem::path& path);

}  // namespace cddp

// Which model a checkpoint holds, and on what it was trained.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "trainer/options.h"

namespace cddp {

// On what, and how far training had come.
struct TrainedSoFar {
  int epochs = 0;  // finished
  uint64_t steps = 0;
  std::string data_sha256;  // DatasetSplits::sha256; empty: not known
};

// Replaces, in `options`, what decides the model, its samples and its precision by what the
// checkpoint's state.json says. Throws StatusError(kCorrupt) naming the file and what is wrong.
TrainedSoFar ReadTrainedOptions(const std::filesystem::path& checkpoint, TrainOptions* options);

// The run folder that the checkpoint lies in, as training without --checkpoint-dir makes it;
// else the folder that it lies in. Absolute if `checkpoint` is, else relative to the current
// folder.
std::filesystem::path FolderOfRun(const std::filesystem::path& checkpoint);

}  // namespace cddp

// Which model a checkpoint holds, and on what it was trained.
#pragma once

#include <cstdint>
#include <filesystem>

#include "trainer/options.h"

namespace cddp {

// How far training had come.
struct TrainedSoFar {
  int epochs = 0;  // finished
  uint64_t steps = 0;
};

// Replaces, in `options`, what decides the model, its samples and its precision by what the
// checkpoint's state.json says. Throws StatusError(kCorrupt) naming the file and what is wrong.
TrainedSoFar ReadTrainedOptions(const std::filesystem::path& checkpoint, TrainOptions* options);

// The run folder that the checkpoint lies in, as training without --checkpoint-dir makes it;
// else the folder beside it. Absolute or not as `checkpoint` is.
std::filesystem::path FolderOfRun(const std::filesystem::path& checkpoint);

}  // namespace cddp

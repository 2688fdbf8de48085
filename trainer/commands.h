// The subcommands of `cddp`. Each returns the exit code or throws StatusError.
#pragma once

#include <string>
#include <vector>

#include "trainer/options.h"

namespace cddp {

// `options` are resolved. `arguments` is the program's command line, with which
// local workers are started.
int TrainCommand(const TrainOptions& options, const std::vector<std::string>& arguments);

// Five checks of this build on this machine, two of them with two workers.
int ValidateCommand(const TrainOptions& options, const std::vector<std::string>& arguments);

// Writes the parameters and buffers of a checkpoint, or of the newest whole one of a folder
// of them, to a safetensors file.
int ExportCommand(const std::string& checkpoint, const std::string& output);

// Versions, processor, devices, backends; as JSON with `json`.
int InfoCommand(const std::string& json);

}  // namespace cddp

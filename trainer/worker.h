// From the command line to a World: starting local workers, and joining as one.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "ddp/world.h"
#include "trainer/data/samples.h"
#include "trainer/history.h"
#include "trainer/options.h"

namespace cddp {

// True when this process is to start `options.workers` local ones and wait for
// them: --workers above 1, and not one of them itself. Throws
// StatusError(kInvalidArgument) when another launcher has started it, or when it is
// to meet others through a file and has no rank.
bool IsLauncher(const TrainOptions& options);

// Starts the workers with this program's own arguments and returns its exit code.
int LaunchLocalWorkers(const TrainOptions& options, const std::vector<std::string>& arguments);

// Throws StatusError(kUnavailable) when the run's report (--json), recording
// (--record-gradients) or folder (--log-dir, --checkpoint-dir) could not be written, and
// kInvalidArgument when another run's checkpoints are there: for the launcher and rank 0,
// before training.
void RequireWritableOutputs(const TrainOptions& options);

// A run folder of rank 0, with config.json (the options, and what became of them in this
// World) and config.yaml, which --config reads; null for other ranks. Collective.
std::unique_ptr<RunFolder> NewRunFolder(const std::string& name, TrainOptions options,
                                        World& world);

// Joins the World with the threads that this worker should use and runs `work`
// in it. A lost peer ends the process with exit code 3 and the rank's name, also
// when this thread is blocked in a collective. `configuration` is what all
// workers must agree on, besides the version of the program.
int RunInWorld(const TrainOptions& options, std::map<std::string, std::string> configuration,
               const std::function<void(World&)>& work);

// A command that trains: checks outputs and data (fetched when missing) before
// anything starts, then starts local workers or, as one of them, calls `work` in
// their World. All workers must have been given the same of what decides
// the result.
int RunTraining(const std::string& command, const TrainOptions& options,
                const std::vector<std::string>& arguments,
                const std::function<void(World&, const DatasetSplits&)>& work);

}  // namespace cddp

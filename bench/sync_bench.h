// `cddp bench sync`: how long the workers of a network take to synchronise the gradients
// of a model, and how many bytes they send for it.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

#include "trainer/options.h"

namespace cddp {

struct SyncBenchOptions {
  TrainOptions run;  // launch and compression; the rest is not used
  std::string shapes = "resnet50";
  bool print_shapes = false;
  int steps = 20;
  int warmup = 30;
  double compute_ms = 0;
};

// With the options of launching and compression, which all commands have.
void AddSyncBenchOptions(CLI::App* app, SyncBenchOptions* options);

// Starts the workers or, as one of them, measures; rank 0 reports. Returns the exit code
// or throws StatusError.
int SyncBench(const SyncBenchOptions& options, const std::vector<std::string>& arguments);

}  // namespace cddp

// `cddp test`: a checkpoint's model over the test split of its data set.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

#include "trainer/options.h"

namespace cddp {

struct TestOptions {
  std::string checkpoint;  // or a folder of them
  std::string output;      // folder; empty: the run's
  bool no_plots = false;
  TrainOptions run;  // where and how it runs; the model is the checkpoint's
};

void AddTestOptions(CLI::App* app, TestOptions* options);

// Evaluates, prints the report and writes test.json and pictures. The result is the same
// whatever the number of workers, each of as many threads: with other numbers of these libtorch
// may add in another order.
//
// Returns the exit code or throws StatusError: as LocateCheckpoint; kCorrupt for tensors that
// are not the model's; kDiverged when the model's outputs are not finite; kInvalidArgument when
// it was trained on a text of the user's own that is not given.
int TestCommand(const TestOptions& options, const std::vector<std::string>& arguments);

}  // namespace cddp

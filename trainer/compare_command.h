// `cddp compare`: the same training in several ways, and one table.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

#include "trainer/options.h"

namespace cddp {

struct CompareOptions {
  CompareOptions() {
    run.compress = true;
    run.save_every = 0;
  }

  TrainOptions run;            // not resolved
  std::vector<double> ratios;  // empty: run.ratio
  bool baseline = false;       // one worker too
  double target_accuracy = 0;  // percent; 0: none
  bool no_plots = false;
};

// Besides those of training (train_flags.h).
void AddCompareOptions(CLI::App* app, CompareOptions* options);

// The trainings one after another: the baseline if wanted, dense, and one for each ratio.
// Returns the exit code or throws StatusError.
int CompareCommand(const CompareOptions& options, const std::vector<std::string>& arguments);

}  // namespace cddp

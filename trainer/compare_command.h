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

// The file with which --config repeats the comparison, see config_file.h.
std::string ToYaml(const CompareOptions& options);

// The trainings one after another: the baseline if wanted, dense, and one for each ratio. Each
// has a run folder; in one of the comparison's own, files tell of those that are done. With
// --json-lines {"kind": "training", "label", "run_folder"} stands before the records of each.
//
// Returns the exit code or throws StatusError: as training does, kUnavailable too when all is
// done but not all could be saved.
int CompareCommand(const CompareOptions& options, const std::vector<std::string>& arguments);

}  // namespace cddp

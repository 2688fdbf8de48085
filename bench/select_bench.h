// `cddp bench select`: how long Top-K selection with error feedback takes, against
// what the memory allows and against other methods.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "bench/outputs.h"
#include "bench/select_case.h"

namespace cddp {

// What is not given takes its place in the matrix of cases.
struct SelectBenchOptions {
  std::string device = "cpu";
  std::optional<int64_t> elements;
  std::optional<double> ratio;
  std::optional<int> threads;
  std::optional<std::string> distribution;
  std::optional<std::string> memory;
  bool full = false;
  int steps = 11;
  int64_t seed = 1;
  bool no_peers = false;
  std::string gradients;  // recording
  BenchOutputs outputs;
  std::string plot;
};

void AddSelectBenchOptions(CLI::App* app, SelectBenchOptions* options);

// The cases that the options ask for, in the order in which they run. Throws
// StatusError(kInvalidArgument) naming the flag that is out of range.
std::vector<SelectCase> SelectCases(const SelectBenchOptions& options);

// Checks, times and reports them. Returns the exit code or throws StatusError.
int SelectBench(const SelectBenchOptions& options);

}  // namespace cddp

// `cddp bench wire`: how many bits an entry takes on the wire, and how long it takes to
// encode and to decode.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <optional>
#include <string>

#include "bench/outputs.h"

namespace cddp {

// What is not given takes its place in the matrix of cases.
struct WireBenchOptions {
  std::string device = "cpu";
  std::optional<int64_t> elements;
  std::optional<double> ratio;
  std::optional<std::string> values;   // value codec
  std::optional<std::string> indices;  // index codec
  std::optional<std::string> set;
  bool stochastic = false;
  int steps = 11;
  int64_t seed = 1;
  std::string gradients;  // recording
  BenchOutputs outputs;
};

void AddWireBenchOptions(CLI::App* app, WireBenchOptions* options);

// Measures and reports all cases. Returns the exit code or throws StatusError.
int WireBench(const WireBenchOptions& options);

}  // namespace cddp

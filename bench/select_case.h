// One case of `cddp bench select`, and what was measured in it.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "bench/distributions.h"

namespace cddp {

struct SelectCase {
  size_t elements = 0;  // of one parameter
  double ratio = 0.01;
  int threads = 1;
  std::string distribution = "normal";
  std::string memory = "residual";
};

struct SelectSettings {
  int steps = 11;  // timed ones
  uint64_t seed = 1;
  bool peers = true;                     // time topk, pipeline and nth_element too
  const Recording* recording = nullptr;  // for the distribution "real"
};

// Medians in milliseconds.
struct SelectTimes {
  double select = 0;           // accumulate and select in one sweep, settle, commit
  double cold = 0;             // the same with a selector that keeps no threshold yet
  double triad_plain = 0;      // e = g + a e with plain stores
  double triad_streaming = 0;  // and with streaming ones
  double triad_beside = 0;     // e2 = g + a e, the better of both
  std::optional<double> topk;
  std::optional<double> pipeline;
  std::optional<double> nth_element;
  double second_sweeps = 0;       // share of the steps with a kept threshold
  double cold_second_sweeps = 0;  // share of the cold ones

  double triad() const { return std::min(triad_plain, triad_streaming); }
};

// Runs some steps and compares every selection, and the memory that is left, to the
// bit with a model that shares no code with them but the oracle (core/oracle.h;
// above 2 million elements the same rule by std::nth_element). Throws
// StatusError(kInternal) that says where they differ.
void CheckAgainstOracle(const SelectCase& c, const SelectSettings& settings);

// Times all methods in turn, step by step, after steps in which the kept threshold
// settles.
SelectTimes TimeSelection(const SelectCase& c, const SelectSettings& settings);

// Memory that the case takes, in bytes, at most.
double BytesNeeded(const SelectCase& c);

}  // namespace cddp

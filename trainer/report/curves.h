// The curves of a run as columns of numbers, with three axes to draw them over: "epoch",
// "seconds" (of training, tests left out) and "bytes" (of gradients, sent by one worker since
// the start).
//
// Numbers are rounded to six digits: the page stays small. Any thread.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "trainer/report/metrics_file.h"

namespace cddp {

// Columns of a history: every number of an EpochRecord by its name, null where it is not
// finite; "test_bits_per_byte" only where all records have it. `steps` are the run's, of
// which each epoch has the same where the metrics don't say how many it had; without either
// "bytes" is null. `source` is the history's file. Throws StatusError(kCorrupt) naming keys
// that a record lacks.
nlohmann::json EpochCurves(const nlohmann::json& history, const std::vector<MetricsRecord>& metrics,
                           std::optional<double> steps, const std::string& source);

// "loss" of the steps: at most `most` points, each the mean of as many records, at the place
// of the last of them; "records_per_point". "epoch" holds null when no epoch has ended, so that
// nothing says how many steps one has. A resumed run's begin where it went on. Null when there
// are no records.
nlohmann::json StepCurve(const std::vector<MetricsRecord>& metrics, size_t most);

}  // namespace cddp

// What the models of `cddp scaling` say about links of other bandwidths: fixed times and
// latencies as fitted, bytes over the bandwidth in place of the fitted time per byte. All of
// it is projected.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "bench/scaling_projection.h"
#include "trainer/plots/gnuplot.h"

namespace cddp {

struct BandwidthRow {
  std::string collective;
  int workers = 2;
  double mbit_s = 0;  // of a worker's link
  double sync_ms = 0;
  double step_ms = 0;
  std::optional<double> times_as_fast_as_dense;  // steps; empty where dense was not measured
  double held_out_step_error_percent = 0;        // of the model, see ScalingRow
};

// From 100 Mbit/s to 100 Gbit/s, two in each decade but the last one's end.
std::vector<double> ProjectedMbitS();

// For each collective, 2, 4, 8, ... up to max_workers and each of ProjectedMbitS().
std::vector<BandwidthRow> ProjectBandwidths(const std::vector<CollectiveStudy>& studies,
                                            int max_workers);

nlohmann::json ToJson(const BandwidthRow& row);

// Steps over bandwidths of `workers` workers, and below which bandwidth compression pays: for
// the terminal.
std::string BandwidthTable(const std::vector<CollectiveStudy>& studies, int workers);

// Steps over bandwidths of the collectives, with `workers` workers and with many.
Picture BandwidthPicture(const std::vector<CollectiveStudy>& studies, int workers, int many,
                         const std::string& name);

}  // namespace cddp

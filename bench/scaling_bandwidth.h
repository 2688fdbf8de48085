// What the models of `cddp scaling` say about links of other bandwidths: fixed times and
// latencies as fitted, and the time per byte
//
//   t(B) = max(t B0 / B, t + 8/B - 8/B0),  t as fitted, B0 the rate of the points' links
//
// At B0 that is the model itself, with its held-out error. It scales with the bandwidth, and on
// slower links grows by no less than their line takes longer: t may be below 8/B0, as bytes
// move while a step computes. Where B0 is not known t(B) is 8/B, and no error is known.
//
// All of it is projected.
#pragma once

#include <limits>
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
  // Of the model at the rate of the points' links, see ScalingRow; empty where that is not known.
  std::optional<double> held_out_step_error_percent;
};

// From 100 Mbit/s to 100 Gbit/s, two in each decade but the last one's end.
std::vector<double> ProjectedMbitS();

// The model of a study on links of `mbit_s`, above 0.
CollectiveModel AtBandwidth(const CollectiveStudy& study, double mbit_s);

// For each collective, 2, 4, 8, ... up to max_workers and each of ProjectedMbitS().
std::vector<BandwidthRow> ProjectBandwidths(const std::vector<CollectiveStudy>& studies,
                                            int max_workers);

nlohmann::json ToJson(const BandwidthRow& row);

// Links of more than `above` and less than `below` Mbit/s; none where these are equal.
struct LinkRange {
  double above = 0;
  double below = std::numeric_limits<double>::infinity();
};

// Where this collective synchronises faster than dense. Mostly on links below some bandwidth; one
// that sends more bytes than dense, as gather does over many workers, may be faster above one, for
// it sends fewer messages.
LinkRange FasterThanDense(const CollectiveStudy& dense, const CollectiveStudy& other, int workers);

// Steps over bandwidths of `workers` workers, and at which bandwidths compression pays: for
// the terminal.
std::string BandwidthTable(const std::vector<CollectiveStudy>& studies, int workers);

// Steps over bandwidths of the collectives, with `workers` workers and with many.
Picture BandwidthPicture(const std::vector<CollectiveStudy>& studies, int workers, int many,
                         const std::string& name);

}  // namespace cddp

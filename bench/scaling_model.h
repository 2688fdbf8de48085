// How long a collective takes on P workers: the alpha-beta model (Hockney 1994; Thakur,
// Rabenseifner, Gropp 2005) fitted to measured points.
//
//   dense   T(P) = fixed + latency 2(P-1) + ms_per_byte bytes(P),  bytes(P) = b 2(P-1)/P
//   split   the same, bytes(P) = b 2(P-1)/P + h 2(P-1): its frames have headers
//   gather  T(P) = fixed + ms_per_byte bytes(P),                   bytes(P) = b (P-1)
//   auto    as dense or as gather, whichever its measured bytes follow
//
// bytes(P), what one worker sends, is fitted to the measured bytes: no formula of the
// codec goes in. In gather the latency cannot be told from the bytes: both grow with P-1.
//
// Times are in ms, sizes in bytes. All here is deterministic and safe to call from any
// thread.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "bench/scaling_points.h"

namespace cddp {

enum class VolumeLaw { kRing, kGather };  // 2(P-1)/P, P-1

struct CollectiveModel {
  std::string collective;
  VolumeLaw law = VolumeLaw::kRing;

  // All are 0 or above.
  double fixed_ms = 0;
  double latency_ms = 0;
  double ms_per_byte = 0;
  double bytes_per_volume = 0;   // b
  double bytes_per_message = 0;  // h

  double compute_ms = 0;  // median of the points
  // What a step costs beyond computation and synchronisation (above 0: the optimiser,
  // say) or saves by overlapping them (below 0): median of the points that wait for the
  // network at all.
  double step_offset_ms = 0;

  // For one worker bytes and times but the computation's are 0.
  double Bytes(int workers) const;
  double SyncMs(int workers) const;
  double ExposedMs(int workers) const;  // what the step waits for, beside computation
  double MbitS() const { return 8e-3 / ms_per_byte; }  // infinite when that is 0
  double StepMs(int workers) const { return compute_ms + ExposedMs(workers); }
};

// Weighted least squares of relative errors with coefficients that are not negative, over
// the points of more than one worker, of which there must be one. With n numbers of
// workers there are at most max(min(n, 2), n - 1) coefficients above 0, three at most.
CollectiveModel FitCollective(const std::vector<SyncPoint>& points);

// A measured point beside what a model gives for it.
struct ModelledPoint {
  int workers = 0;
  double sync_ms = 0, predicted_sync_ms = 0;
  double step_ms = 0, predicted_step_ms = 0;

  // (predicted - measured) / measured; above 0 where the model is too slow.
  double sync_error_percent() const { return 100 * (predicted_sync_ms / sync_ms - 1); }
  double step_error_percent() const { return 100 * (predicted_step_ms / step_ms - 1); }
};

// The largest magnitudes among the points.
double SyncErrorPercent(const std::vector<ModelledPoint>& points);
double StepErrorPercent(const std::vector<ModelledPoint>& points);

struct CollectiveStudy {
  CollectiveModel model;                     // of all points
  std::vector<SyncPoint> points;             // those of this collective, by workers
  std::optional<double> link_mbit_s;         // of the points' links; empty where one's is not known
  std::vector<ModelledPoint> fitted;         // the model at its own points
  std::vector<ModelledPoint> held_out;       // the most workers, by a model of the others
  std::vector<ModelledPoint> leave_one_out;  // each, by a model of the others; from four on
  std::vector<CollectiveModel> refits;       // models with one number of workers left out
};

// For each collective with more than one worker, in the order of ScalingCollectives(). The
// points must pass RequireComparable.
std::vector<CollectiveStudy> StudyCollectives(const std::vector<SyncPoint>& points);

// That of dense; null where it was not measured.
const CollectiveStudy* DenseStudy(const std::vector<CollectiveStudy>& studies);

}  // namespace cddp

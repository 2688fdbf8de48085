// LayerLog: what a rank sends of each parameter and what stays behind: the layers.json of a
// run folder.
//
//   {"epoch": 3, "layers": [{"name": "fc1.weight", "elements": 401408,
//                            "sent_fraction": 0.01, "residual_norm": 0.8}, ...]}
//
// sent_fraction: entries selected over elements, in the steps of the epoch that were
// compressed; null where there was none. residual_norm: L2, at its end.
#pragma once

#include <nlohmann/json.hpp>

#include "cddp/compression.h"

namespace cddp {

class LayerLog {
 public:
  void BeginEpoch(const Compression& compression) { before_ = compression.parameter_statistics(); }

  // One pass over the memories. Between steps.
  nlohmann::json Record(int epoch, const Compression& compression) const;

 private:
  StatisticsByParameter before_;
};

}  // namespace cddp

// A collective that also records the gradients that come to it, before they are
// compressed and combined: for `train --record-gradients`.
#pragma once

#include <memory>
#include <string>

#include "cddp/collective.h"

namespace cddp {

struct RecordingOptions {
  std::string file;
  uint64_t every = 20;      // steps
  uint64_t max_steps = 50;  // recorded ones; then it only passes on
};

// Passes everything on to `inner`. Void steps are left out of the recording.
// Throws StatusError(kUnavailable) when the file cannot be written: now, or from
// EndStep. Keeps one copy of the gradient of a step that is recorded.
std::unique_ptr<Collective> MakeRecordingCollective(const RecordingOptions& options,
                                                    std::unique_ptr<Collective> inner);

}  // namespace cddp

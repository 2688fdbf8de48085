// A Collective over paths. Which path a bucket takes is for the derived class to say.
#pragma once

#include <optional>
#include <utility>

#include "cddp/collective.h"
#include "collective/path.h"

namespace cddp {

class PathCollective : public Collective {
 public:
  // `parts` hold what the paths need.
  explicit PathCollective(PathParts parts) : parts_(std::move(parts)) {}

  Status BeginStep(uint64_t step) final;
  Status Prepare(const Bucket& bucket) override { return PathOf(bucket.index).Prepare(bucket); }
  Status Exchange(const Bucket& bucket) final;
  StepOutcome EndStep() override;

  Compressor* compressor() final { return parts_.compressor.get(); }
  Memory* owner_memory() final { return parts_.owner ? &parts_.owner->memory() : nullptr; }
  CollectiveTimes times() const final;

 protected:
  virtual Path& PathOf(uint32_t bucket) = 0;
  // The rest of BeginStep, once a step: what every rank has to do alike.
  virtual Status Begin(uint64_t /*step*/) { return Status::Ok(); }

  PathParts parts_;

 private:
  std::optional<uint64_t> step_;  // that has begun
  bool void_ = false;
};

}  // namespace cddp

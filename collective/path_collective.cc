#include "collective/path_collective.h"

#include "collective/agreed_budgets.h"

namespace cddp {

CollectiveTimes& CollectiveTimes::operator+=(const CollectiveTimes& other) {
  select += other.select;
  encode += other.encode;
  exchange += other.exchange;
  decode += other.decode;
  apply += other.apply;
  return *this;
}

Status Collective::AllReduceMean(const Bucket& bucket) {
  CDDP_RETURN_IF_ERROR(BeginStep(bucket.step));
  CDDP_RETURN_IF_ERROR(Prepare(bucket));
  return Exchange(bucket);
}

Status PathCollective::BeginStep(uint64_t step) {
  if (step_ == step) return Status::Ok();
  step_ = step;
  if (parts_.compressor) {
    CDDP_RETURN_IF_ERROR(AgreeOnBudgets(step, parts_.transport, parts_.compressor.get()));
  }
  return Begin(step);
}

Status PathCollective::Exchange(const Bucket& bucket) {
  bool finite = true;
  CDDP_RETURN_IF_ERROR(PathOf(bucket.index).Exchange(bucket, &finite));
  void_ |= !finite;
  return Status::Ok();
}

StepOutcome PathCollective::EndStep() {
  const bool is_void = std::exchange(void_, false);
  if (parts_.compressor) parts_.compressor->EndStep(/*commit=*/!is_void);
  if (parts_.owner) parts_.owner->EndStep(/*commit=*/!is_void);
  return is_void ? StepOutcome::kVoid : StepOutcome::kCommitted;
}

CollectiveTimes PathCollective::times() const {
  CollectiveTimes times = parts_.prepare_times;
  times += parts_.exchange_times;
  return times;
}

std::unique_ptr<Path> MakePath(Way way, PathParts* parts) {
  switch (way) {
    case Way::kDense:
      return MakeDensePath(parts);
    case Way::kGather:
      return MakeGatherPath(parts);
    case Way::kSplit:
      return MakeSplitPath(parts);
  }
  return nullptr;
}

namespace {

// All buckets take one path.
class FixedCollective final : public PathCollective {
 public:
  FixedCollective(PathParts parts, Way way)
      : PathCollective(std::move(parts)), way_(way), path_(MakePath(way, &parts_)) {}

  std::string_view name() const override { return WayName(way_); }

 private:
  Path& PathOf(uint32_t) override { return *path_; }

  const Way way_;
  const std::unique_ptr<Path> path_;
};

}  // namespace

std::unique_ptr<Collective> MakeDenseCollective(Transport* transport) {
  return std::make_unique<FixedCollective>(PathParts{.transport = transport}, Way::kDense);
}

std::unique_ptr<Collective> MakeGatherCollective(Transport* transport,
                                                 std::unique_ptr<Compressor> compressor) {
  return std::make_unique<FixedCollective>(
      PathParts{.transport = transport, .compressor = std::move(compressor)}, Way::kGather);
}

Status MakeSplitCollective(Transport* transport, const CompressorOptions& options,
                           double owner_budget, std::unique_ptr<Collective>* collective) {
  PathParts parts{.transport = transport, .owner_budget = owner_budget};
  CDDP_RETURN_IF_ERROR(MakeOwner(options, owner_budget, &parts.owner));
  CDDP_RETURN_IF_ERROR(Compressor::Create(options, &parts.compressor));
  *collective = std::make_unique<FixedCollective>(std::move(parts), Way::kSplit);
  return Status::Ok();
}

}  // namespace cddp

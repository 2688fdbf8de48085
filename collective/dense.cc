// The baseline and the fallback: the transport's own allreduce, then the division by P.
//
// With a compressor, what its memory keeps for the bucket's parameters is added before:
// a dense step sends everything, so that nothing stays behind (but the velocity of dgc,
// which stays in the memory as it would in an optimiser).
#include "collective/path.h"
#include "core/sweep.h"

namespace cddp {
namespace {

class DensePath final : public Path {
 public:
  explicit DensePath(PathParts* parts) : parts_(*parts) {}

  Status Prepare(const Bucket& bucket) override {
    const Lap lap(&parts_.prepare_times.select);
    return parts_.compressor ? parts_.compressor->AccumulateAll(bucket) : Status::Ok();
  }

  Status Exchange(const Bucket& bucket, bool* finite) override {
    {
      const Lap lap(&parts_.exchange_times.exchange);
      CDDP_RETURN_IF_ERROR(parts_.transport->AllReduceSum(bucket.values));
    }
    const Lap lap(&parts_.exchange_times.apply);
    const auto ranks = static_cast<float>(parts_.transport->world_size());
    // NaN and Inf spread through the sum, so that all ranks see them alike.
    *finite &= Divide(bucket.values, ranks, bucket.values.data(), /*stream=*/false);
    if (!*finite) FillWithNaN(bucket.values);
    return Status::Ok();
  }

 private:
  PathParts& parts_;
};

}  // namespace

std::unique_ptr<Path> MakeDensePath(PathParts* parts) { return std::make_unique<DensePath>(parts); }

}  // namespace cddp

// Sparse allgather: every rank's frame to every rank.
//
// Pieces: a rank's `frame` holds its selected entries of the bucket, at most
// `max_entries` of them, a number that all ranks derive alike from the bucket's layout;
// receives have room for a frame with so many. So no round is needed that agrees sizes.
//
// One exchange per bucket sends (P-1) frames and receives (P-1) frames per rank.
#include <memory>
#include <span>
#include <vector>

#include "cddp/frame.h"
#include "collective/frame_exchange.h"
#include "collective/path.h"
#include "collective/sparse_sum.h"

namespace cddp {
namespace {

class GatherPath final : public Path {
 public:
  explicit GatherPath(PathParts* parts) : parts_(*parts), exchange_(parts->transport) {}

  Status Prepare(const Bucket& bucket) override {
    Flight& flight = flights_[bucket.index];
    Compressor& compressor = *parts_.compressor;
    flight.max_entries = compressor.EntryCount(bucket);
    {
      const Lap lap(&parts_.prepare_times.select);
      CDDP_RETURN_IF_ERROR(compressor.Take(bucket));
    }
    const Lap lap(&parts_.prepare_times.encode);
    return compressor.EncodeTaken(bucket, static_cast<uint32_t>(parts_.transport->rank()),
                                  &flight.frame);
  }

  Status Exchange(const Bucket& bucket, bool* finite) override {
    const auto ranks = static_cast<size_t>(parts_.transport->world_size());
    Flight& flight = flights_[bucket.index];
    {
      const Lap lap(&parts_.exchange_times.exchange);
      capacities_.assign(ranks, MaxFrameBytes(parts_.compressor->format(),
                                              static_cast<uint32_t>(bucket.values.size()),
                                              flight.max_entries, bucket.parameters.size()));
      CDDP_RETURN_IF_ERROR(exchange_.ToAll(flight.frame, capacities_));
    }
    {
      const Lap lap(&parts_.exchange_times.decode);
      CDDP_RETURN_IF_ERROR(Read(bucket, flight.max_entries, finite));
    }
    const Lap lap(&parts_.exchange_times.apply);
    *finite &= sum_.Into(entries_, static_cast<float>(ranks), bucket.values);
    if (!*finite) FillWithNaN(bucket.values);
    return Status::Ok();
  }

 private:
  struct Flight {
    std::vector<std::byte> frame;
    size_t max_entries = 0;
  };

  // What all ranks sent.
  Status Read(const Bucket& bucket, size_t max_entries, bool* finite) {
    entries_.resize(static_cast<size_t>(parts_.transport->world_size()));
    for (size_t r = 0; r < entries_.size(); ++r) {
      CDDP_RETURN_IF_ERROR(exchange_.Read(r, FrameIdOf(bucket, static_cast<uint32_t>(r)),
                                          max_entries, &entries_[r], finite));
    }
    return Status::Ok();
  }

  PathParts& parts_;
  FrameExchange exchange_;
  Flights<Flight> flights_;
  std::vector<size_t> capacities_;
  std::vector<Selection> entries_;  // by rank
  SparseSum sum_;
};

}  // namespace

std::unique_ptr<Path> MakeGatherPath(PathParts* parts) {
  return std::make_unique<GatherPath>(parts);
}

}  // namespace cddp

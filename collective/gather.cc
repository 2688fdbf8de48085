// Sparse allgather: every rank's frame to every rank.
//
// Pieces: a rank's `frame` holds its selected entries of the bucket, at most
// `max_entries` of them, a number that all ranks derive alike from the bucket's layout;
// receives have room for a frame with so many. So no round is needed that agrees sizes.
//
// One exchange per bucket sends (P-1) frames and receives (P-1) frames per rank.
#include <algorithm>
#include <cmath>
#include <utility>

#include "cddp/frame.h"
#include "collective/frame_exchange.h"
#include "collective/path.h"

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
    {
      const Lap lap(&parts_.prepare_times.encode);
      CDDP_RETURN_IF_ERROR(compressor.EncodeTaken(
          bucket, static_cast<uint32_t>(parts_.transport->rank()), &flight.frame));
    }
    const Lap lap(&parts_.prepare_times.apply);
    std::ranges::fill(bucket.values, 0.0f);
    return Status::Ok();
  }

  Status Exchange(const Bucket& bucket, bool* finite) override {
    const auto ranks = static_cast<size_t>(parts_.transport->world_size());
    Flight& flight = flights_[bucket.index];
    {
      const Lap lap(&parts_.exchange_times.exchange);
      outgoing_.assign(ranks, flight.frame);
      capacities_.assign(ranks, MaxFrameBytes(parts_.compressor->format(),
                                              static_cast<uint32_t>(bucket.values.size()),
                                              flight.max_entries, bucket.parameters.size()));
      CDDP_RETURN_IF_ERROR(exchange_.Run(outgoing_, capacities_));
    }
    const Lap lap(&parts_.exchange_times.decode);
    CDDP_RETURN_IF_ERROR(AddUp(bucket, flight, finite));
    if (!*finite) FillWithNaN(bucket.values);
    return Status::Ok();
  }

 private:
  struct Flight {
    std::vector<std::byte> frame;
    size_t max_entries = 0;
  };

  // The mean of the frames' entries, which are added in rank order; the bucket holds
  // zeros. Only elements with entries are divided and looked at: of 1% of them this is a
  // small part of what a pass over all would cost.
  Status AddUp(const Bucket& bucket, const Flight& flight, bool* finite) {
    const std::span<float> dense = bucket.values;
    touched_.clear();
    seen_.resize(std::max(seen_.size(), dense.size()), false);
    const int ranks = parts_.transport->world_size();
    for (int r = 0; r < ranks; ++r) {
      const FrameId id{.step = bucket.step,
                       .bucket = bucket.index,
                       .rank = static_cast<uint32_t>(r),
                       .elements = static_cast<uint32_t>(dense.size())};
      CDDP_RETURN_IF_ERROR(exchange_.Read(static_cast<size_t>(r), flight.frame, id,
                                          flight.max_entries, &entries_, finite));
      constexpr size_t kAhead = 16;  // the bucket is not in the cache
      for (size_t i = 0; i < entries_.size(); ++i) {
        if (i + kAhead < entries_.size()) {
          __builtin_prefetch(&dense[entries_.indices[i + kAhead]], 1);
        }
        const uint32_t element = entries_.indices[i];
        if (!seen_[element]) touched_.push_back(element);
        seen_[element] = true;
        dense[element] += entries_.values[i];
      }
    }
    for (const uint32_t element : touched_) {
      seen_[element] = false;
      dense[element] /= static_cast<float>(ranks);
      // Finite values of several ranks may still overflow in their sum.
      *finite &= std::isfinite(dense[element]);
    }
    return Status::Ok();
  }

  PathParts& parts_;
  FrameExchange exchange_;
  Flights<Flight> flights_;
  std::vector<std::span<const std::byte>> outgoing_;
  std::vector<size_t> capacities_;
  Selection entries_;              // of one frame
  std::vector<uint32_t> touched_;  // elements with an entry
  std::vector<bool> seen_;         // all false between buckets
};

}  // namespace

std::unique_ptr<Path> MakeGatherPath(PathParts* parts) {
  return std::make_unique<GatherPath>(parts);
}

}  // namespace cddp

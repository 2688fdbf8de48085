// The sparse allreduce whose traffic does not grow with the number of ranks.
//
// Pieces: every element has an owner (shards.h). A rank's `entries` are what its
// compressor takes out of a bucket, k of them; `parts[o]` those of owner o. The owner's
// `sum` is its shard of the bucket, dense; its `owner` memory keeps what it does not send
// on; `counts[p]` is how many entries of parameter p it may.
//
// 1. Every rank sends parts[o] to owner o: at most k entries in all, k (P-1)/P of them
//    over the network if owners have equally many.
// 2. The owner adds them up in rank order, adds what it kept, selects the largest, at
//    most c k/P over all parameters, and sends them to every rank: c k (P-1)/P entries.
// 3. Every rank puts the owners' entries, divided by P, into the bucket. An element comes
//    from one owner only, so nothing is added here and all ranks have the same bits.
//
// So a rank sends (1 + c) k (P-1)/P entries whatever P is (compare Ok-Topk, Li & Hoefler,
// PPoPP 2022), and 2 (P-1) headers of frames.
//
// Bounds. All ranks know the layout of the bucket, so all derive alike how many entries a
// frame can have: in step 1 of each parameter at most what the rank takes out and what
// the owner has; in step 2 the owner's counts, which add up to the budget and so are not
// rounded up one by one. Receives have room for the longest frame with so many.
//
// What is lost nowhere: what a rank does not select or the codec rounds away stays in its
// memory; what an owner does not select or rounds away stays in the owner's. The owner's
// memory keeps sums of gradients or, with dgc, of velocities, and no momentum of its own:
// a velocity is masked where its rank sent it.
//
// A step is void when any rank's gradient is not finite, which its frames tell all
// owners, or when an owner's sum is not, which that owner's frame tells all ranks.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <optional>

#include "cddp/frame.h"
#include "collective/frame_exchange.h"
#include "collective/path.h"
#include "collective/shards.h"
#include "collective/sparse_sum.h"

namespace cddp {
namespace {

class SplitPath final : public Path {
 public:
  explicit SplitPath(PathParts* parts)
      : parts_(*parts),
        ranks_(static_cast<size_t>(parts->transport->world_size())),
        self_(static_cast<size_t>(parts->transport->rank())),
        exchange_(parts->transport) {}

  Status Prepare(const Bucket& bucket) override {
    Flight& flight = flights_[bucket.index];
    Compressor& compressor = *parts_.compressor;
    BoundEntries(bucket, &flight);
    {
      const Lap lap(&parts_.prepare_times.select);
      CDDP_RETURN_IF_ERROR(compressor.Take(bucket));
    }
    const Lap lap(&parts_.prepare_times.encode);
    return EncodeParts(bucket, &flight);
  }

  Status Exchange(const Bucket& bucket, bool* finite) override {
    Flight& flight = flights_[bucket.index];
    CDDP_RETURN_IF_ERROR(SendToOwners(bucket, flight));
    bool sum_finite = true;
    CDDP_RETURN_IF_ERROR(AddUp(bucket, flight, &sum_finite));
    CDDP_RETURN_IF_ERROR(TakeFromSum(bucket, flight, sum_finite));
    CDDP_RETURN_IF_ERROR(SendToAll(bucket, flight));
    return Spread(bucket, flight, finite);
  }

  Status Leave(std::span<const BucketParameter> parameters) override;

 private:
  struct Flight {
    std::optional<Shards> shards;
    std::vector<std::vector<std::byte>> frames;     // to each owner
    std::vector<size_t> part_entries;               // of a rank's frame to each owner, at most
    std::vector<std::vector<size_t>> owner_counts;  // by owner and parameter
    std::vector<size_t> owner_entries;              // of each owner's frame, at most
  };

  // The most entries of each part and of each owner's frame.
  void BoundEntries(const Bucket& bucket, Flight* flight) const {
    if (!flight->shards || !flight->shards->IsOf(bucket)) {
      flight->shards.emplace(bucket, static_cast<int>(ranks_));
    }
    flight->part_entries.assign(ranks_, 0);
    flight->owner_counts.assign(ranks_, {});
    flight->owner_entries.assign(ranks_, 0);
    std::vector<uint32_t> elements(ranks_);
    for (size_t p = 0; p < bucket.parameters.size(); ++p) {
      const size_t k = parts_.compressor->EntryCount(bucket.parameters[p]);
      for (size_t o = 0; o < ranks_; ++o) {
        elements[o] = flight->shards->Layout(static_cast<int>(o))[p].count;
        flight->part_entries[o] += std::min<size_t>(k, elements[o]);
      }
      const std::vector<size_t> shares =
          Shares(k, bucket.parameters[p].count, elements, flight->shards->Draw(p, bucket.step));
      for (size_t o = 0; o < ranks_; ++o) {
        flight->owner_counts[o].push_back(shares[o]);
        flight->owner_entries[o] += shares[o];
      }
    }
  }

  // A parameter that goes whole is sent on whole.
  std::vector<size_t> Shares(size_t k, uint32_t count, std::span<const uint32_t> elements,
                             uint32_t draw) const {
    if (k == count) return {elements.begin(), elements.end()};
    if (std::isinf(parts_.owner_budget)) {
      // The union of all ranks' entries, whose size only the owner knows.
      std::vector<size_t> shares(elements.begin(), elements.end());
      for (size_t& share : shares) share = std::min(share, k * ranks_);
      return shares;
    }
    const double budget = std::ceil(parts_.owner_budget * static_cast<double>(k) - 1e-9);
    return OwnerShares(static_cast<size_t>(std::min<double>(budget, count)), elements, draw);
  }

  FrameId IdOfPart(const Bucket& bucket, size_t rank, size_t owner, const Flight& flight) const {
    return {.step = bucket.step,
            .bucket = bucket.index,
            .rank = static_cast<uint32_t>(rank),
            .elements = flight.shards->elements(static_cast<int>(owner))};
  }

  FrameId IdOfSum(const Bucket& bucket, size_t owner, const Flight& flight) const {
    FrameId id = IdOfPart(bucket, owner, owner, flight);
    id.of_owner = true;
    return id;
  }

  // What was taken, as a frame to each owner.
  Status EncodeParts(const Bucket& bucket, Flight* flight) {
    Compressor& compressor = *parts_.compressor;
    TakenEntries& entries = compressor.taken();
    flight->shards->Deal(entries.selection, &dealt_, &run_ends_);
    flight->frames.resize(ranks_);
    for (size_t o = 0; o < ranks_; ++o) {
      CDDP_RETURN_IF_ERROR(EncodeFrame(compressor.format(), IdOfPart(bucket, self_, o, *flight),
                                       run_ends_[o], !entries.finite, &dealt_[o],
                                       &flight->frames[o]));
      if (o != self_) compressor.CountFrame(flight->frames[o].size());
    }
    // Encoding left in the parts what their owners decode.
    taken_ = entries.selection.values;
    flight->shards->Collect(dealt_, &entries.selection);
    compressor.Settle(bucket, taken_);
    return Status::Ok();
  }

  Status SendToOwners(const Bucket& bucket, const Flight& flight) {
    const Lap lap(&parts_.exchange_times.exchange);
    outgoing_.assign(flight.frames.begin(), flight.frames.end());
    capacities_.assign(ranks_, MaxFrameBytes(parts_.compressor->format(),
                                             flight.shards->elements(static_cast<int>(self_)),
                                             flight.part_entries[self_], bucket.parameters.size()));
    return exchange_.Run(outgoing_, capacities_);
  }

  // What all ranks sent of this owner's shard, in rank order.
  Status AddUp(const Bucket& bucket, const Flight& flight, bool* finite) {
    const Lap lap(&parts_.exchange_times.decode);
    entries_.resize(ranks_);
    for (size_t r = 0; r < ranks_; ++r) {
      CDDP_RETURN_IF_ERROR(exchange_.Read(r, IdOfPart(bucket, r, self_, flight),
                                          flight.part_entries[self_], &entries_[r], finite));
    }
    sum_.resize(flight.shards->elements(static_cast<int>(self_)));
    *finite &= adder_.Into(entries_, 1.0f, sum_);
    return Status::Ok();
  }

  // The largest of the sum and of what the owner kept, as a frame.
  Status TakeFromSum(const Bucket& bucket, const Flight& flight, bool finite) {
    Compressor& owner = *parts_.owner;
    const Bucket shard{.step = bucket.step,
                       .index = bucket.index,
                       .values = sum_,
                       .parameters = flight.shards->Layout(static_cast<int>(self_))};
    counts_ = flight.owner_counts[self_];
    if (std::isinf(parts_.owner_budget)) LimitToUnion(shard, &counts_);
    {
      const Lap lap(&parts_.exchange_times.select);
      CDDP_RETURN_IF_ERROR(owner.Take(shard, counts_));
    }
    const Lap lap(&parts_.exchange_times.encode);
    TakenEntries& entries = owner.taken();
    if (!finite) entries.Clear();
    const bool all_finite = finite && entries.finite;
    sum_taken_ = entries.selection.values;
    CDDP_RETURN_IF_ERROR(EncodeFrame(owner.format(), IdOfSum(bucket, self_, flight),
                                     entries.run_ends, !all_finite, &entries.selection,
                                     &sum_frame_));
    if (ranks_ > 1) owner.CountFrame(sum_frame_.size());
    if (finite) owner.Settle(shard, sum_taken_);
    return Status::Ok();
  }

  // Of each parameter as many as there are elements that some rank sent.
  static void LimitToUnion(const Bucket& shard, std::vector<size_t>* counts) {
    for (size_t p = 0; p < counts->size(); ++p) {
      const BucketParameter& parameter = shard.parameters[p];
      const auto values = shard.values.subspan(parameter.offset, parameter.count);
      const auto sent = static_cast<size_t>(
          std::ranges::count_if(values, [](float value) { return value != 0.0f; }));
      (*counts)[p] = std::min((*counts)[p], sent);
    }
  }

  Status SendToAll(const Bucket& bucket, const Flight& flight) {
    const Lap lap(&parts_.exchange_times.exchange);
    capacities_.resize(ranks_);
    for (size_t o = 0; o < ranks_; ++o) {
      capacities_[o] =
          MaxFrameBytes(parts_.owner->format(), flight.shards->elements(static_cast<int>(o)),
                        flight.owner_entries[o], bucket.parameters.size());
    }
    return exchange_.ToAll(sum_frame_, capacities_);
  }

  // The owners' entries become the bucket's.
  Status Spread(const Bucket& bucket, const Flight& flight, bool* finite) {
    {
      const Lap lap(&parts_.exchange_times.decode);
      for (size_t o = 0; o < ranks_; ++o) {
        CDDP_RETURN_IF_ERROR(exchange_.Read(o, IdOfSum(bucket, o, flight), flight.owner_entries[o],
                                            &entries_[o], finite));
        flight.shards->ToBucket(static_cast<int>(o), entries_[o].indices);
      }
    }
    const Lap lap(&parts_.exchange_times.apply);
    *finite &= adder_.Into(entries_, static_cast<float>(ranks_), bucket.values);
    if (!*finite) FillWithNaN(bucket.values);
    return Status::Ok();
  }

  PathParts& parts_;
  const size_t ranks_;
  const size_t self_;
  Flights<Flight> flights_;

  // Of Prepare.
  std::vector<Selection> dealt_;
  std::vector<std::vector<size_t>> run_ends_;
  std::vector<float> taken_;

  // Of Exchange.
  FrameExchange exchange_;
  std::vector<std::span<const std::byte>> outgoing_;
  std::vector<size_t> capacities_;
  std::vector<Selection> entries_;  // by rank
  SparseSum adder_;
  std::vector<float> sum_;
  std::vector<size_t> counts_;
  std::vector<float> sum_taken_;
  std::vector<std::byte> sum_frame_;
};

// What the owner kept of the bucket's parameters goes into this rank's own memory: the
// sum over the ranks of all that is kept stays the same. It stays there should the next
// step be void.
Status SplitPath::Leave(std::span<const BucketParameter> parameters) {
  const Shards shards({.parameters = parameters}, static_cast<int>(ranks_));
  for (size_t p = 0; p < parameters.size(); ++p) {
    const std::string& name = parameters[p].name;
    const std::vector<float> kept = parts_.owner->memory().TakeResidual(name);
    if (kept.empty()) continue;
    CDDP_RETURN_IF_ERROR(
        parts_.compressor->memory().Add(name, shards.Spread(static_cast<int>(self_), p, kept)));
  }
  return Status::Ok();
}

}  // namespace

std::unique_ptr<Path> MakeSplitPath(PathParts* parts) { return std::make_unique<SplitPath>(parts); }

Status MakeOwner(const CompressorOptions& options, double owner_budget,
                 std::unique_ptr<Compressor>* owner) {
  if (!(owner_budget > 0)) {
    return Status::InvalidArgument(fmt::format(
        "the owner's budget must be above 0 (1: as many entries as a rank sends; inf: all), got {}",
        owner_budget));
  }
  CompressorOptions of_owner = options;
  of_owner.selector.name = "topk";
  of_owner.memory = {.name = options.memory.name == "none" ? "none" : "residual"};
  of_owner.adaptive_every = 0;
  return Compressor::Create(of_owner, owner);
}

}  // namespace cddp

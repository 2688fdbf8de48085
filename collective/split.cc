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
#include <limits>
#include <utility>

#include "cddp/collective.h"
#include "cddp/frame.h"
#include "collective/agreed_budgets.h"
#include "collective/shards.h"

namespace cddp {
namespace {

class SplitCollective final : public Collective {
 public:
  SplitCollective(Transport* transport, std::unique_ptr<Compressor> compressor,
                  std::unique_ptr<Compressor> owner, double owner_budget)
      : transport_(transport),
        compressor_(std::move(compressor)),
        owner_(std::move(owner)),
        owner_budget_(owner_budget),
        ranks_(static_cast<size_t>(transport->world_size())),
        self_(static_cast<size_t>(transport->rank())) {}

  std::string_view name() const override { return "split"; }
  Compressor* compressor() override { return compressor_.get(); }
  Memory* owner_memory() override { return &owner_->memory(); }

  Status AllReduceMean(const Bucket& bucket) override {
    CDDP_RETURN_IF_ERROR(AgreeOnBudgets(bucket.step, transport_, compressor_.get()));
    const Shards shards(bucket, transport_->world_size());
    Plan(bucket, shards);
    CDDP_RETURN_IF_ERROR(SendToOwners(bucket, shards));
    CDDP_RETURN_IF_ERROR(AddUp(bucket, shards));
    CDDP_RETURN_IF_ERROR(SendToAll(bucket, shards));
    return Spread(bucket, shards);
  }

  StepOutcome EndStep() override {
    const bool is_void = std::exchange(void_, false);
    compressor_->EndStep(/*commit=*/!is_void);
    owner_->EndStep(/*commit=*/!is_void);
    return is_void ? StepOutcome::kVoid : StepOutcome::kCommitted;
  }

 private:
  // The most entries of each part and of each owner's frame.
  void Plan(const Bucket& bucket, const Shards& shards) {
    part_entries_.assign(ranks_, 0);
    owner_counts_.assign(ranks_, {});
    owner_entries_.assign(ranks_, 0);
    std::vector<uint32_t> elements(ranks_);
    for (size_t p = 0; p < bucket.parameters.size(); ++p) {
      const size_t k = compressor_->EntryCount(bucket.parameters[p]);
      for (size_t o = 0; o < ranks_; ++o) {
        elements[o] = shards.Layout(static_cast<int>(o))[p].count;
        part_entries_[o] += std::min<size_t>(k, elements[o]);
      }
      const std::vector<size_t> shares = Shares(k, bucket.parameters[p].count, elements);
      for (size_t o = 0; o < ranks_; ++o) {
        owner_counts_[o].push_back(shares[o]);
        owner_entries_[o] += shares[o];
      }
    }
  }

  // A parameter that goes whole is sent on whole.
  std::vector<size_t> Shares(size_t k, uint32_t count, std::span<const uint32_t> elements) const {
    if (k == count) return {elements.begin(), elements.end()};
    if (std::isinf(owner_budget_)) {
      // The union of all ranks' entries, whose size only the owner knows.
      std::vector<size_t> shares(elements.begin(), elements.end());
      for (size_t& share : shares) share = std::min(share, k * ranks_);
      return shares;
    }
    const double budget = std::ceil(owner_budget_ * static_cast<double>(k) - 1e-9);
    return OwnerShares(static_cast<size_t>(std::min<double>(budget, count)), elements);
  }

  FrameId IdOf(const Bucket& bucket, size_t rank, size_t owner, const Shards& shards) const {
    return {.step = bucket.step,
            .bucket = bucket.index,
            .rank = static_cast<uint32_t>(rank),
            .elements = shards.elements(static_cast<int>(owner))};
  }

  Status SendToOwners(const Bucket& bucket, const Shards& shards) {
    CDDP_RETURN_IF_ERROR(compressor_->Take(bucket));
    TakenEntries& entries = compressor_->taken();
    shards.Deal(entries.selection, entries.run_ends, &parts_, &part_run_ends_);
    frames_.resize(ranks_);
    for (size_t o = 0; o < ranks_; ++o) {
      CDDP_RETURN_IF_ERROR(EncodeFrame(compressor_->format(), IdOf(bucket, self_, o, shards),
                                       part_run_ends_[o], !entries.finite, &parts_[o],
                                       &frames_[o]));
    }
    for (size_t o = 0; o < ranks_; ++o) {
      if (o != self_) compressor_->CountFrame(frames_[o].size());
    }
    // Encoding left in the parts what their owners decode.
    taken_ = entries.selection.values;
    shards.Collect(parts_, &entries.selection);
    compressor_->Settle(bucket, taken_);

    const size_t mine =
        MaxFrameBytes(compressor_->format(), shards.elements(static_cast<int>(self_)),
                      part_entries_[self_], bucket.parameters.size());
    outgoing_.assign(frames_.begin(), frames_.end());
    return Exchange(mine);
  }

  // Receives at most `capacity` bytes from each rank, or what capacities_ say.
  Status Exchange(size_t capacity) {
    capacities_.assign(ranks_, capacity);
    return ExchangeWithCapacities();
  }

  Status ExchangeWithCapacities() {
    size_t room = 0;
    for (size_t capacity : capacities_) room += capacity;
    received_.resize(room);
    incoming_.resize(ranks_);
    std::span<std::byte> rest = received_;
    for (size_t r = 0; r < ranks_; ++r) {
      incoming_[r] = rest.first(capacities_[r]);
      rest = rest.subspan(capacities_[r]);
    }
    return transport_->Exchange(outgoing_, incoming_);
  }

  // The frame that rank r sent, or this rank's own.
  Status ViewOf(const Bucket& bucket, size_t rank, const FrameId& id,
                std::span<const std::byte> own, size_t max_entries, FrameView* view) {
    std::span<const std::byte> frame = own;
    if (rank != self_) {
      size_t length = 0;
      if (Status status = FrameLength(incoming_[rank], &length); !status.ok()) {
        return Status::Corrupt(fmt::format("frame of rank {}, step {}, bucket {}: {}", rank,
                                           bucket.step, bucket.index, status.message()));
      }
      frame = incoming_[rank].first(length);
    }
    return ValidateFrame(frame, id, max_entries, view);
  }

  // What all ranks sent of this owner's shard, in rank order.
  Status AddUp(const Bucket& bucket, const Shards& shards) {
    views_.resize(ranks_);
    for (size_t r = 0; r < ranks_; ++r) {
      CDDP_RETURN_IF_ERROR(ViewOf(bucket, r, IdOf(bucket, r, self_, shards), frames_[self_],
                                  part_entries_[self_], &views_[r]));
    }
    sum_.assign(shards.elements(static_cast<int>(self_)), 0.0f);
    finite_ = true;
    for (const FrameView& view : views_) {
      finite_ &= !view.non_finite;
      DecodeAdd(view, sum_);
    }
    return Status::Ok();
  }

  Status SendToAll(const Bucket& bucket, const Shards& shards) {
    const Bucket shard{.step = bucket.step,
                       .index = bucket.index,
                       .values = sum_,
                       .parameters = shards.Layout(static_cast<int>(self_))};
    std::vector<size_t> counts = owner_counts_[self_];
    if (std::isinf(owner_budget_)) LimitToUnion(shard, &counts);
    CDDP_RETURN_IF_ERROR(owner_->Take(shard, counts));
    TakenEntries& entries = owner_->taken();
    if (!finite_) entries.Clear();
    taken_ = entries.selection.values;
    CDDP_RETURN_IF_ERROR(EncodeFrame(owner_->format(), IdOf(bucket, self_, self_, shards),
                                     entries.run_ends, !(finite_ && entries.finite),
                                     &entries.selection, &owner_frame_));
    if (ranks_ > 1) compressor_->CountFrame(owner_frame_.size());
    if (finite_) owner_->Settle(shard, taken_);

    outgoing_.assign(ranks_, owner_frame_);
    capacities_.resize(ranks_);
    for (size_t o = 0; o < ranks_; ++o) {
      capacities_[o] = MaxFrameBytes(owner_->format(), shards.elements(static_cast<int>(o)),
                                     owner_entries_[o], bucket.parameters.size());
    }
    return ExchangeWithCapacities();
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

  // The owners' entries become the bucket's.
  Status Spread(const Bucket& bucket, const Shards& shards) {
    bool non_finite = false;
    for (size_t o = 0; o < ranks_; ++o) {
      CDDP_RETURN_IF_ERROR(ViewOf(bucket, o, IdOf(bucket, o, o, shards), owner_frame_,
                                  owner_entries_[o], &views_[o]));
      non_finite |= views_[o].non_finite;
    }
    if (non_finite) {
      void_ = true;
      std::ranges::fill(bucket.values, std::numeric_limits<float>::quiet_NaN());
      return Status::Ok();
    }
    std::ranges::fill(bucket.values, 0.0f);
    for (size_t o = 0; o < ranks_; ++o) {
      indices_.resize(views_[o].entries);
      values_.resize(views_[o].entries);
      Decode(views_[o], indices_, values_);
      for (float& value : values_) value /= static_cast<float>(ranks_);
      shards.Scatter(static_cast<int>(o), indices_, values_, bucket.values);
    }
    return Status::Ok();
  }

  Transport* transport_;
  std::unique_ptr<Compressor> compressor_;
  std::unique_ptr<Compressor> owner_;
  const double owner_budget_;
  const size_t ranks_;
  const size_t self_;
  bool void_ = false;
  bool finite_ = true;  // what this owner got

  std::vector<size_t> part_entries_;               // of a rank's frame to each owner, at most
  std::vector<std::vector<size_t>> owner_counts_;  // by owner and parameter
  std::vector<size_t> owner_entries_;              // of each owner's frame, at most
  std::vector<Selection> parts_;
  std::vector<std::vector<size_t>> part_run_ends_;
  std::vector<std::vector<std::byte>> frames_;
  std::vector<std::byte> owner_frame_;
  std::vector<size_t> capacities_;
  std::vector<std::byte> received_;
  std::vector<std::span<const std::byte>> outgoing_;
  std::vector<std::span<std::byte>> incoming_;
  std::vector<FrameView> views_;
  std::vector<float> sum_;
  std::vector<float> taken_;
  std::vector<uint32_t> indices_;
  std::vector<float> values_;
};

}  // namespace

Status MakeSplitCollective(Transport* transport, const CompressorOptions& options,
                           double owner_budget, std::unique_ptr<Collective>* collective) {
  if (!(owner_budget > 0)) {
    return Status::InvalidArgument(fmt::format(
        "the owner's budget must be above 0 (1: as many entries as a rank sends; inf: all), got {}",
        owner_budget));
  }
  std::unique_ptr<Compressor> compressor;
  std::unique_ptr<Compressor> owner;
  CDDP_RETURN_IF_ERROR(Compressor::Create(options, &compressor));
  CompressorOptions of_owner = options;
  of_owner.selector.name = "topk";
  of_owner.memory = {.name = options.memory.name == "none" ? "none" : "residual"};
  of_owner.adaptive_every = 0;
  CDDP_RETURN_IF_ERROR(Compressor::Create(of_owner, &owner));
  *collective = std::make_unique<SplitCollective>(transport, std::move(compressor),
                                                  std::move(owner), owner_budget);
  return Status::Ok();
}

}  // namespace cddp

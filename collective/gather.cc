// Sparse allgather: every rank's frame to every rank.
//
// Pieces: a rank's `frame` holds its selected entries of the bucket, at most
// EntryCount(bucket) of them, a number that all ranks derive alike from the
// bucket's layout; `capacity` bounds a frame with so many entries. So
// receives need no round that agrees sizes: each has room for `capacity` bytes,
// and the frame says how many of them it is.
//
// One exchange per bucket sends (P-1) frames and receives (P-1) frames per rank.
#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <utility>

#include "cddp/collective.h"
#include "cddp/frame.h"
#include "collective/agreed_budgets.h"
#include "core/sweep.h"

namespace cddp {
namespace {

class GatherCollective final : public Collective {
 public:
  GatherCollective(Transport* transport, std::unique_ptr<Compressor> compressor)
      : transport_(transport), compressor_(std::move(compressor)) {}

  std::string_view name() const override { return "gather"; }
  Compressor* compressor() override { return compressor_.get(); }

  Status AllReduceMean(const Bucket& bucket) override {
    const auto ranks = static_cast<size_t>(transport_->world_size());
    const auto self = static_cast<size_t>(transport_->rank());
    CDDP_RETURN_IF_ERROR(AgreeOnBudgets(bucket.step, transport_, compressor_.get()));
    const size_t max_entries = compressor_->EntryCount(bucket);
    const size_t capacity =
        MaxFrameBytes(compressor_->format(), static_cast<uint32_t>(bucket.values.size()),
                      max_entries, bucket.parameters.size());

    CDDP_RETURN_IF_ERROR(compressor_->Compress(bucket, static_cast<uint32_t>(self), &frame_));

    if (frame_.size() > capacity) {
      return Status::Internal(fmt::format("bucket {}: a frame of {} bytes, at most {} expected",
                                          bucket.index, frame_.size(), capacity));
    }

    received_.resize(ranks * capacity);
    outgoing_.assign(ranks, frame_);
    incoming_.resize(ranks);
    for (size_t r = 0; r < ranks; ++r) {
      incoming_[r] = std::span(received_).subspan(r * capacity, capacity);
    }
    CDDP_RETURN_IF_ERROR(transport_->Exchange(outgoing_, incoming_));

    // All frames are validated before the first is added: an error leaves the
    // gradient as it was.
    views_.resize(ranks);
    bool non_finite = false;
    for (size_t r = 0; r < ranks; ++r) {
      std::span<const std::byte> frame = frame_;
      if (r != self) {
        size_t length = 0;
        if (Status status = FrameLength(incoming_[r], &length); !status.ok()) {
          return Status::Corrupt(fmt::format("frame of rank {}, step {}, bucket {}: {}", r,
                                             bucket.step, bucket.index, status.message()));
        }
        frame = incoming_[r].first(length);
      }
      const FrameId id{.step = bucket.step,
                       .bucket = bucket.index,
                       .rank = static_cast<uint32_t>(r),
                       .elements = static_cast<uint32_t>(bucket.values.size())};
      CDDP_RETURN_IF_ERROR(ValidateFrame(frame, id, max_entries, &views_[r]));
      non_finite |= views_[r].non_finite;
    }

    if (!non_finite) {
      std::ranges::fill(bucket.values, 0.0f);
      for (const FrameView& view : views_) DecodeAdd(view, bucket.values);
      for (float& value : bucket.values) value /= static_cast<float>(ranks);
      // Finite values of several ranks may still overflow in their sum.
      non_finite = !AllFinite(bucket.values);
    }
    if (non_finite) {
      void_ = true;
      std::ranges::fill(bucket.values, std::numeric_limits<float>::quiet_NaN());
    }
    return Status::Ok();
  }

  StepOutcome EndStep() override {
    const bool is_void = std::exchange(void_, false);
    compressor_->EndStep(/*commit=*/!is_void);
    return is_void ? StepOutcome::kVoid : StepOutcome::kCommitted;
  }

 private:
  Transport* transport_;
  std::unique_ptr<Compressor> compressor_;
  bool void_ = false;
  std::vector<std::byte> frame_;
  std::vector<std::byte> received_;
  std::vector<std::span<const std::byte>> outgoing_;
  std::vector<std::span<std::byte>> incoming_;
  std::vector<FrameView> views_;
};

}  // namespace

std::unique_ptr<Collective> MakeGatherCollective(Transport* transport,
                                                 std::unique_ptr<Compressor> compressor) {
  return std::make_unique<GatherCollective>(transport, std::move(compressor));
}

}  // namespace cddp

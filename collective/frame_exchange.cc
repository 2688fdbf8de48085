#include "collective/frame_exchange.h"

#include <fmt/format.h>

#include <numeric>

namespace cddp {

Status FrameExchange::Run(std::span<const std::span<const std::byte>> outgoing,
                          std::span<const size_t> capacities) {
  const auto self = static_cast<size_t>(transport_->rank());
  own_ = outgoing[self];
  received_.Make(std::accumulate(capacities.begin(), capacities.end(), size_t{0}));
  incoming_.resize(capacities.size());
  std::byte* room = received_.data();
  for (size_t r = 0; r < capacities.size(); ++r) {
    incoming_[r] = {room, r == self ? 0 : capacities[r]};
    room += incoming_[r].size();
  }
  return transport_->Exchange(outgoing, incoming_);
}

Status FrameExchange::ToAll(std::span<const std::byte> frame, std::span<const size_t> capacities) {
  same_.assign(capacities.size(), frame);
  return Run(same_, capacities);
}

Status FrameExchange::FrameOf(size_t rank, const FrameId& id,
                              std::span<const std::byte>* frame) const {
  *frame = own_;
  if (static_cast<int>(rank) == transport_->rank()) return Status::Ok();
  size_t length = 0;
  if (Status status = FrameLength(incoming_[rank], &length); !status.ok()) {
    return Status::Corrupt(fmt::format("frame of rank {}, step {}, bucket {}: {}", rank, id.step,
                                       id.bucket, status.message()));
  }
  *frame = incoming_[rank].first(length);
  return Status::Ok();
}

Status FrameExchange::Read(size_t rank, const FrameId& id, size_t max_entries, Selection* entries,
                           bool* finite) const {
  std::span<const std::byte> frame;
  CDDP_RETURN_IF_ERROR(FrameOf(rank, id, &frame));
  FrameView view;
  CDDP_RETURN_IF_ERROR(DecodeFrame(frame, id, max_entries, &view, entries));
  *finite &= !view.non_finite;
  return Status::Ok();
}

}  // namespace cddp

// One exchange of frames between all ranks: receives have room for the longest frame that
// there can be, and the frame says how long it is.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "cddp/frame.h"
#include "cddp/transport.h"
#include "core/scratch.h"

namespace cddp {

class FrameExchange {
 public:
  explicit FrameExchange(Transport* transport) : transport_(transport) {}

  // Sends outgoing[r] to each rank r and receives at most capacities[r] bytes from it. This
  // rank's own stays where it is, for FrameOf and Read.
  Status Run(std::span<const std::span<const std::byte>> outgoing,
             std::span<const size_t> capacities);
  // The same frame to all.
  Status ToAll(std::span<const std::byte> frame, std::span<const size_t> capacities);

  // The frame that `rank` sent. Corrupt names the one whose length cannot be. *frame is valid
  // until the next exchange.
  Status FrameOf(size_t rank, const FrameId& id, std::span<const std::byte>* frame) const;

  // What that frame says (see DecodeFrame): its entries, and whether they stand for a finite
  // gradient.
  Status Read(size_t rank, const FrameId& id, size_t max_entries, Selection* entries,
              bool* finite) const;

 private:
  Transport* transport_;
  std::span<const std::byte> own_;
  std::vector<std::span<const std::byte>> same_;
  Scratch<std::byte> received_;
  std::vector<std::span<std::byte>> incoming_;
};

}  // namespace cddp

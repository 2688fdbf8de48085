// A stream of a GPU beside the one that forward and backward run on, so that gradients are
// copied while backward goes on. On the CPU there are no streams, and other devices do everything
// in one order: work is just done.
//
// Any thread.
#pragma once

#include <torch/torch.h>

#include <functional>
#include <memory>
#include <optional>

#include "ddp/torch_seam.h"

namespace cddp {

class SideStream {
 public:
  explicit SideStream(at::Device device);

  // Makes its device this thread's current one, for good. What libtorch does on a thread that has
  // chosen none (marks and events are enough) makes a context on the first GPU, which is another
  // worker's. Run does so, too.
  void TakeDevice() const;

  // A mark behind what this thread has given its current stream to do; null without a
  // stream.
  std::shared_ptr<c10::Event> Mark() const;

  // Does `work`, which enqueues on this thread's current stream, on the side stream, behind the
  // mark if there is one, and waits until the device has done it. Without a stream only what
  // `work` itself waits for is waited for. Throws what `work` throws.
  void Run(const c10::Event* mark, const std::function<void()>& work) const;

 private:
  at::Device device_;
  std::optional<c10::Stream> stream_;
};

}  // namespace cddp

#include "ddp/side_stream.h"

#include <c10/core/StreamGuard.h>
#include <c10/core/impl/VirtualGuardImpl.h>

namespace cddp {

SideStream::SideStream(at::Device device) : device_(device) {
  if (!device.is_cuda()) return;
  stream_ = c10::impl::VirtualGuardImpl(device.type()).getStreamFromGlobalPool(device);
}

void SideStream::TakeDevice() const {
  if (stream_) c10::impl::VirtualGuardImpl(device_.type()).setDevice(device_);
}

std::shared_ptr<c10::Event> SideStream::Mark() const {
  if (!stream_) return nullptr;
  auto mark = std::make_shared<c10::Event>(device_.type());
  mark->record(c10::impl::VirtualGuardImpl(device_.type()).getStream(device_));
  return mark;
}

void SideStream::Run(const c10::Event* mark, const std::function<void()>& work) const {
  if (!stream_) {
    work();
    return;
  }
  TakeDevice();
  const c10::StreamGuard guard(*stream_);
  if (mark != nullptr) mark->block(*stream_);
  work();
  stream_->synchronize();
}

}  // namespace cddp

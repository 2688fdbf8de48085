#include "ddp/comm_hook.h"

#include "cddp/status.h"

namespace cddp {

CommHook::CommHook(Collective* collective, std::unordered_map<const void*, std::string> names)
    : collective_(collective), names_(std::move(names)), thread_([this] { Run(); }) {}

CommHook::~CommHook() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

c10::intrusive_ptr<c10::ivalue::Future> CommHook::runHook(c10d::GradBucket& bucket) {
  Job job{.step = step_,
          .index = static_cast<uint32_t>(bucket.getIndex()),
          .buffer = bucket.getBufferRef(),
          .parameters = {},
          .future = c10::make_intrusive<c10::ivalue::Future>(c10::TensorType::get())};
  uint32_t offset = 0;
  for (const at::Tensor& parameter : bucket.getParameters()) {
    const auto count = static_cast<uint32_t>(parameter.numel());
    job.parameters.push_back({names_.at(parameter.unsafeGetTensorImpl()), offset, count});
    offset += count;
  }
  auto future = job.future;
  {
    const std::lock_guard lock(mutex_);
    jobs_.push_back(std::move(job));
  }
  changed_.notify_all();
  return future;
}

Status CommHook::status() const {
  const std::lock_guard lock(mutex_);
  return status_;
}

void CommHook::Run() {
  const torch::NoGradGuard no_grad;
  for (;;) {
    Job job;
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [this] { return stop_ || !jobs_.empty(); });
      if (jobs_.empty()) return;
      job = std::move(jobs_.front());
      jobs_.pop_front();
    }
    Status status = this->status();
    if (status.ok()) {
      const Bucket bucket{
          .step = job.step,
          .index = job.index,
          .values = {job.buffer.data_ptr<float>(), static_cast<size_t>(job.buffer.numel())},
          .parameters = job.parameters};
      status = collective_->AllReduceMean(bucket);
    }
    if (status.ok()) {
      job.future->markCompleted(job.buffer);
    } else {
      {
        const std::lock_guard lock(mutex_);
        status_ = status;
      }
      job.future->setError(std::make_exception_ptr(StatusError(status)));
    }
  }
}

}  // namespace cddp

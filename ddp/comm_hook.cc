#include "ddp/comm_hook.h"

#include <fmt/format.h>

#include <exception>
#include <limits>

#include "cddp/status.h"
#include "ddp/torch_error.h"

namespace cddp {

CommHook::CommHook(Collective* collective, std::unordered_map<const void*, std::string> names,
                   double weight_decay)
    : collective_(collective),
      names_(std::move(names)),
      weight_decay_(weight_decay),
      thread_([this] { Run(); }) {}

CommHook::~CommHook() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

CommHook::Job CommHook::MakeJob(c10d::GradBucket& bucket) const {
  Job job{.step = step_,
          .index = static_cast<uint32_t>(bucket.getIndex()),
          .buffer = bucket.getBufferRef(),
          .parameters = {},
          .decayed = {},
          .future = c10::make_intrusive<c10::ivalue::Future>(c10::TensorType::get())};
  if (job.buffer.numel() > std::numeric_limits<uint32_t>::max()) {
    throw StatusError(StatusCode::kInvalidArgument,
                      fmt::format("bucket {} has {} elements, more than 2^32 - 1: choose a smaller "
                                  "bucket size",
                                  job.index, job.buffer.numel()));
  }
  uint32_t offset = 0;
  for (const at::Tensor& parameter : bucket.getParameters()) {
    const auto count = static_cast<uint32_t>(parameter.numel());
    job.parameters.push_back({names_.at(parameter.unsafeGetTensorImpl()), offset, count});
    if (weight_decay_ != 0) job.decayed.push_back(parameter);
    offset += count;
  }
  return job;
}

c10::intrusive_ptr<c10::ivalue::Future> CommHook::runHook(c10d::GradBucket& bucket) {
  try {
    Job job = MakeJob(bucket);
    auto future = job.future;
    {
      const std::lock_guard lock(mutex_);
      jobs_.push_back(std::move(job));
    }
    changed_.notify_all();
    return future;
  } catch (const StatusError& error) {
    return Failed(error.status());
  } catch (const std::exception& error) {
    return Failed(Status::Internal(
        fmt::format("bucket {} cannot be synchronised: {}", bucket.getIndex(), FirstLine(error))));
  }
}

c10::intrusive_ptr<c10::ivalue::Future> CommHook::Failed(const Status& status) {
  {
    const std::lock_guard lock(mutex_);
    if (status_.ok()) status_ = status;
  }
  auto future = c10::make_intrusive<c10::ivalue::Future>(c10::TensorType::get());
  future->setError(std::make_exception_ptr(StatusError(status)));
  return future;
}

Status CommHook::status() const {
  const std::lock_guard lock(mutex_);
  return status_;
}

Status CommHook::Synchronise(const Job& job) {
  const Bucket bucket{
      .step = job.step,
      .index = job.index,
      .values = {job.buffer.data_ptr<float>(), static_cast<size_t>(job.buffer.numel())},
      .parameters = job.parameters};
  try {
    for (size_t p = 0; p < job.decayed.size(); ++p) {
      // As the Reducer lays gradients out: densely, in the parameter's own order.
      const at::Tensor& parameter = job.decayed[p];
      const at::Tensor piece =
          job.buffer.narrow(0, job.parameters[p].offset, job.parameters[p].count);
      const bool own_order = parameter.is_non_overlapping_and_dense();
      (own_order ? piece.as_strided(parameter.sizes(), parameter.strides())
                 : piece.view(parameter.sizes()))
          .add_(parameter, weight_decay_);
    }
    return collective_->AllReduceMean(bucket);
  } catch (const std::exception& error) {
    // Out of memory, say. Leaving this thread it would end the process.
    return Status::Internal(
        fmt::format("bucket {} cannot be synchronised: {}", job.index, FirstLine(error)));
  }
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
    if (status.ok()) status = Synchronise(job);
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

#include "ddp/comm_hook.h"

#include <fmt/format.h>

#include <exception>
#include <limits>
#include <utility>

#include "cddp/status.h"
#include "ddp/torch_error.h"

namespace cddp {
namespace {

// Adds to each parameter's piece of the bucket.
void AddWeightDecay(const at::Tensor& buffer, const std::vector<at::Tensor>& parameters,
                    double weight_decay) {
  const torch::NoGradGuard no_grad;
  int64_t offset = 0;
  for (const at::Tensor& parameter : parameters) {
    // As the Reducer lays gradients out: densely, in the parameter's own order.
    const at::Tensor piece = buffer.narrow(0, offset, parameter.numel());
    const bool own_order = parameter.is_non_overlapping_and_dense();
    (own_order ? piece.as_strided(parameter.sizes(), parameter.strides())
               : piece.view(parameter.sizes()))
        .add_(parameter, weight_decay);
    offset += parameter.numel();
  }
}

}  // namespace

CommHook::CommHook(Collective* collective, CommHookOptions options)
    : collective_(*collective),
      options_(std::move(options)),
      side_(options_.device),
      pipeline_(collective) {}

void CommHook::BeginStep(uint64_t step, double unscale) {
  step_ = step;
  unscale_ = unscale;
  parameters_ = 0;
  if (!collective_.enqueues()) pipeline_.Begin(step);
}

void CommHook::OnStream(const c10::Event* mark, const std::function<void()>& work) const {
  if (collective_.enqueues()) {
    work();
  } else {
    side_.Run(mark, work);
  }
}

CommHook::FuturePtr CommHook::NewFuture() const {
  std::vector<c10::Device> devices;
  if (!options_.device.is_cpu()) devices.push_back(options_.device);
  return c10::make_intrusive<c10::ivalue::Future>(c10::TensorType::get(), devices);
}

at::Tensor CommHook::StagingOf(uint32_t bucket, int64_t elements) {
  at::Tensor& staging = staging_[bucket];
  if (!staging.defined() || staging.numel() != elements) {
    // Page-locked: copies need no other.
    staging = torch::empty(
        {elements}, torch::TensorOptions().pinned_memory(options_.device.type() == at::kCUDA));
  }
  return staging;
}

PipelineJob CommHook::MakeJob(c10d::GradBucket& bucket, const FuturePtr& future) {
  const at::Tensor buffer = bucket.getBufferRef();
  const auto index = static_cast<uint32_t>(bucket.getIndex());
  if (buffer.numel() > std::numeric_limits<uint32_t>::max()) {
    throw StatusError(StatusCode::kInvalidArgument,
                      fmt::format("bucket {} has {} elements, more than 2^32 - 1: choose a smaller "
                                  "bucket size",
                                  index, buffer.numel()));
  }
  const at::Tensor values = options_.staged ? StagingOf(index, buffer.numel()) : buffer;
  PipelineJob job{
      .bucket = {.step = step_,
                 .index = index,
                 .values = {values.data_ptr<float>(), static_cast<size_t>(values.numel())}}};
  uint32_t offset = 0;
  const std::vector<at::Tensor> parameters = bucket.getParameters();
  for (const at::Tensor& parameter : parameters) {
    const auto count = static_cast<uint32_t>(parameter.numel());
    job.parameters.push_back({options_.names.at(parameter.unsafeGetTensorImpl()), offset, count});
    offset += count;
  }
  const auto mark = collective_.enqueues() ? nullptr : side_.Mark();
  if (mark || options_.staged || unscale_ != 1 || options_.weight_decay != 0) {
    job.before = [this, buffer, values, parameters, mark, unscale = unscale_] {
      const auto prepare = [&] {
        if (unscale != 1) buffer.mul_(unscale);
        if (options_.weight_decay != 0) AddWeightDecay(buffer, parameters, options_.weight_decay);
        if (options_.staged) values.copy_(buffer, /*non_blocking=*/buffer.is_cuda());
      };
      NamingOutOfMemory([&] { OnStream(mark.get(), prepare); });
    };
  }
  job.done = [this, buffer, values, future](const Status& status) {
    try {
      side_.TakeDevice();
      ThrowIfError(status);
      if (options_.staged) {
        side_.Run(nullptr, [&] { buffer.copy_(values, /*non_blocking=*/buffer.is_cuda()); });
      }
      future->markCompleted(buffer);
    } catch (...) {
      future->setError(std::current_exception());
    }
  };
  return job;
}

void CommHook::Run(PipelineJob job) {
  job.bucket.parameters = job.parameters;
  if (job.before) job.before();
  NamingOutOfMemory([&] { ThrowIfError(collective_.AllReduceMean(job.bucket)); });
  job.done(Status::Ok());
}

CommHook::FuturePtr CommHook::runHook(c10d::GradBucket& bucket) {
  try {
    const FuturePtr future = NewFuture();
    PipelineJob job = MakeJob(bucket, future);
    parameters_ += job.parameters.size();
    if (collective_.enqueues()) {
      Run(std::move(job));
    } else {
      pipeline_.Submit(std::move(job));
    }
    last_bucket_ = std::chrono::steady_clock::now();
    return future;
  } catch (const StatusError& error) {
    return Failed(error.status());
  } catch (const std::exception& error) {
    return Failed(Status::Internal(
        fmt::format("bucket {} cannot be synchronised: {}", bucket.getIndex(), FirstLine(error))));
  }
}

CommHook::FuturePtr CommHook::Failed(const Status& status) {
  pipeline_.Fail(status);
  const FuturePtr future = NewFuture();
  future->setError(std::make_exception_ptr(StatusError(status)));
  return future;
}

}  // namespace cddp

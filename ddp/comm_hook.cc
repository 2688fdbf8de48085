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

CommHook::CommHook(Collective* collective, std::unordered_map<const void*, std::string> names,
                   double weight_decay)
    : names_(std::move(names)), weight_decay_(weight_decay), pipeline_(collective) {}

PipelineJob CommHook::MakeJob(c10d::GradBucket& bucket, const FuturePtr& future) const {
  const at::Tensor buffer = bucket.getBufferRef();
  const auto index = static_cast<uint32_t>(bucket.getIndex());
  if (buffer.numel() > std::numeric_limits<uint32_t>::max()) {
    throw StatusError(StatusCode::kInvalidArgument,
                      fmt::format("bucket {} has {} elements, more than 2^32 - 1: choose a smaller "
                                  "bucket size",
                                  index, buffer.numel()));
  }
  PipelineJob job{
      .bucket = {.step = step_,
                 .index = index,
                 .values = {buffer.data_ptr<float>(), static_cast<size_t>(buffer.numel())}}};
  uint32_t offset = 0;
  const std::vector<at::Tensor> parameters = bucket.getParameters();
  for (const at::Tensor& parameter : parameters) {
    const auto count = static_cast<uint32_t>(parameter.numel());
    job.parameters.push_back({names_.at(parameter.unsafeGetTensorImpl()), offset, count});
    offset += count;
  }
  if (unscale_ != 1 || weight_decay_ != 0) {
    job.before = [buffer, parameters, unscale = unscale_, decay = weight_decay_] {
      if (unscale != 1) buffer.mul_(unscale);
      if (decay != 0) AddWeightDecay(buffer, parameters, decay);
    };
  }
  job.done = [buffer, future](const Status& status) {
    if (status.ok()) {
      future->markCompleted(buffer);
    } else {
      future->setError(std::make_exception_ptr(StatusError(status)));
    }
  };
  return job;
}

CommHook::FuturePtr CommHook::runHook(c10d::GradBucket& bucket) {
  try {
    auto future = c10::make_intrusive<c10::ivalue::Future>(c10::TensorType::get());
    PipelineJob job = MakeJob(bucket, future);
    parameters_ += job.parameters.size();
    pipeline_.Submit(std::move(job));
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
  auto future = c10::make_intrusive<c10::ivalue::Future>(c10::TensorType::get());
  future->setError(std::make_exception_ptr(StatusError(status)));
  return future;
}

}  // namespace cddp

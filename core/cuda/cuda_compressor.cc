#include "cddp/cuda_compressor.h"

#include <cuda_runtime_api.h>
#include <fmt/format.h>
#include <xxhash.h>

#include <algorithm>
#include <map>
#include <utility>

#include "core/cuda/code_blocks.h"
#include "core/cuda/device.h"
#include "core/cuda/device_memory.h"
#include "core/cuda/frame_decoder.h"
#include "core/cuda/frame_encoder.h"
#include "core/cuda/selection.h"
#include "core/frame_layout.h"

namespace cddp {
namespace {

using cuda::DeviceArray;
using cuda::StatusOf;

// The kernels count entries and chunks of them in 32 bits, with room to round up.
constexpr size_t kMostElements = (size_t{1} << 31) - 1;

// A bucket as it was last seen.
struct BucketState {
  bool prepared = false;
  std::vector<BucketParameter> parameters;
  std::shared_ptr<cuda::BucketMemory> memory;  // null with `none`
  cuda::BucketSelection selection;
  cuda::FrameEncoder encoder;
  std::vector<size_t> run_ends;
  uint64_t selected_parameters = 0;  // those that do not go whole
  size_t fetched = 0;                // bytes of a payload that are copied before its size is known
};

// That the kernels were built for the device.
Status RequireCapability(int device) {
  constexpr int kLeast = 8;
  int major = 0;
  CDDP_RETURN_IF_ERROR(
      StatusOf(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device),
               "asking for the compute capability"));
  if (major >= kLeast) return Status::Ok();
  return Status::Unavailable(
      fmt::format("device {} has compute capability {}.x; compression on a GPU needs {}.0 or later",
                  device, major, kLeast));
}

}  // namespace

struct CudaCompressor::Impl {
  Impl(std::string_view memory_name, void* on_stream)
      : stream(static_cast<cudaStream_t>(on_stream)), memory(memory_name, stream) {}
  ~Impl() {
    if (owns_stream) cudaStreamDestroy(stream);
  }

  cudaStream_t stream;
  bool owns_stream = false;
  int device = 0;
  cuda::DeviceMemory memory;

  std::map<uint32_t, BucketState> buckets;

  // What was started.
  BucketState* current = nullptr;
  FrameId id;
  const float* gradient = nullptr;
  uint64_t key = 0;
  cuda::PinnedArray<cuda::Outcome> outcome;
  cuda::PinnedArray<std::byte> staging;

  cuda::FrameDecoder decoder;

  Status Prepare(const CompressorOptions& options, const Bucket& bucket, BucketState* state);
  Status Enqueue(const FrameFormat& format, cuda::Thresholds thresholds, BucketState* state);
  Status Fetch(const BucketState& state, size_t begin, size_t end);
};

Status CudaCompressor::Impl::Prepare(const CompressorOptions& options, const Bucket& bucket,
                                     BucketState* state) {
  state->prepared = false;  // unless all goes well, the next step prepares it again
  state->run_ends.clear();
  state->selected_parameters = 0;
  state->fetched = 0;
  const bool at_home = state->memory != nullptr &&
                       std::ranges::equal(state->parameters, bucket.parameters) &&
                       memory.AreIn(bucket.parameters, state->memory);
  if (memory.kind() != cuda::MemoryKind::kNone && !at_home) {
    CDDP_RETURN_IF_ERROR(memory.MoveIn(bucket.parameters, bucket.values.size(), &state->memory));
    // A bucket that has lost a parameter is another one now, if it comes again.
    std::erase_if(buckets, [&](const auto& item) {
      return &item.second != state && !memory.AreIn(item.second.parameters, item.second.memory);
    });
  }
  state->parameters.assign(bucket.parameters.begin(), bucket.parameters.end());
  std::vector<cuda::Parameter> parameters;
  size_t entries = 0;
  for (const BucketParameter& parameter : bucket.parameters) {
    const size_t k = EntriesByRatio(options, parameter.count);
    entries += k;
    state->selected_parameters += k < parameter.count;
    state->run_ends.push_back(entries);
    parameters.push_back(
        {.offset = parameter.offset, .count = parameter.count, .k = static_cast<uint32_t>(k)});
  }
  const MomentumRule rule{.momentum = static_cast<float>(options.memory.momentum),
                          .nesterov = options.memory.nesterov,
                          .masking = options.memory.momentum_masking};
  CDDP_RETURN_IF_ERROR(
      state->selection.Prepare(memory.kind(), rule, std::move(parameters), stream));
  CDDP_RETURN_IF_ERROR(state->encoder.Prepare(state->selection, options.format.values, stream));
  CDDP_RETURN_IF_ERROR(staging.Make(state->encoder.max_bytes()));
  state->prepared = true;
  return Status::Ok();
}

Status CudaCompressor::Impl::Enqueue(const FrameFormat& format, cuda::Thresholds thresholds,
                                     BucketState* state) {
  cuda::States states;
  if (state->memory != nullptr) states = state->memory->states();
  if (thresholds != cuda::Thresholds::kForecast) {
    CDDP_RETURN_IF_ERROR(state->selection.ResolveThresholds(thresholds, gradient, states, stream));
  }
  CDDP_RETURN_IF_ERROR(state->selection.Select(thresholds, gradient, states, stream));
  CDDP_RETURN_IF_ERROR(state->encoder.Encode(state->selection, states.residual_next,
                                             format.stochastic, key, stream));
  CDDP_RETURN_IF_ERROR(
      StatusOf(cudaMemcpyAsync(outcome.data(), state->selection.outcome(), sizeof(cuda::Outcome),
                               cudaMemcpyDeviceToHost, stream),
               "copying from the device"));
  return Fetch(*state, 0, state->fetched);
}

// Bytes [begin, end) of the payload.
Status CudaCompressor::Impl::Fetch(const BucketState& state, size_t begin, size_t end) {
  if (begin >= end) return Status::Ok();
  return StatusOf(cudaMemcpyAsync(staging.data() + begin, state.encoder.payload() + begin,
                                  end - begin, cudaMemcpyDeviceToHost, stream),
                  "copying a frame from the device");
}

CudaCompressor::CudaCompressor(const CompressorOptions& options, std::unique_ptr<Impl> impl)
    : DeviceCompressor(options), impl_(std::move(impl)) {
  options_.format.indices = IndexFormat::kRiceBlocks;
}
CudaCompressor::~CudaCompressor() = default;

Status CudaCompressor::Create(const CompressorOptions& options, void* stream,
                              std::unique_ptr<CudaCompressor>* compressor) {
  CDDP_RETURN_IF_ERROR(CheckOptions(options, "a GPU"));
  if (options.format.indices != IndexFormat::kAuto &&
      options.format.indices != IndexFormat::kRiceBlocks) {
    return Status::InvalidArgument("compression on a GPU has no index codec but rice-blocks");
  }
  if (!cuda::CodesOnDevice(options.format.values)) {
    return Status::InvalidArgument(
        "compression on a GPU has no value codec but fp32, bf16, int8 and int4");
  }
  CDDP_RETURN_IF_ERROR(RequireCudaDevice(0));
  auto impl = std::make_unique<Impl>(options.memory.name, stream);
  CDDP_RETURN_IF_ERROR(StatusOf(cudaGetDevice(&impl->device), "asking for the device"));
  CDDP_RETURN_IF_ERROR(RequireCapability(impl->device));
  CDDP_RETURN_IF_ERROR(impl->outcome.Make(1));
  compressor->reset(new CudaCompressor(options, std::move(impl)));
  return Status::Ok();
}

Status CudaCompressor::CreateOn(int device, const CompressorOptions& options,
                                std::unique_ptr<CudaCompressor>* compressor) {
  CDDP_RETURN_IF_ERROR(RequireCudaDevice(device));
  const cuda::DeviceGuard guard(device);
  cudaStream_t stream = nullptr;
  CDDP_RETURN_IF_ERROR(
      StatusOf(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "making a stream"));
  const Status status = Create(options, stream, compressor);
  if (status.ok()) {
    (*compressor)->impl_->owns_stream = true;
  } else {
    cudaStreamDestroy(stream);
  }
  return status;
}

Status CudaCompressor::SetRatio(double ratio) {
  if (ratio == options_.ratio) return Status::Ok();
  CDDP_RETURN_IF_ERROR(DeviceCompressor::SetRatio(ratio));
  // They have room for as many entries as there were.
  for (auto& [index, bucket] : impl_->buckets) bucket.prepared = false;
  return Status::Ok();
}

Status CudaCompressor::Start(const Bucket& bucket, uint32_t rank) {
  Impl& impl = *impl_;
  const cuda::DeviceGuard guard(impl.device);
  impl.current = nullptr;
  if (bucket.values.size() > kMostElements) {
    return Status::InvalidArgument(
        fmt::format("bucket {} has {} elements, compression on a GPU takes up to {}; use smaller "
                    "buckets",
                    bucket.index, bucket.values.size(), kMostElements));
  }
  if (reinterpret_cast<uintptr_t>(bucket.values.data()) % 16 != 0) {
    return Status::InvalidArgument(
        fmt::format("the gradients of bucket {} are not aligned to 16 bytes", bucket.index));
  }
  const FrameId id = FrameIdOf(bucket, rank);
  CDDP_RETURN_IF_ERROR(
      CheckFrameLimits(options_.format, id, EntryCount(bucket), bucket.parameters.size()));
  BucketState& state = impl.buckets[bucket.index];
  const bool known = state.prepared && std::ranges::equal(state.parameters, bucket.parameters);
  if (!known) CDDP_RETURN_IF_ERROR(impl.Prepare(options_, bucket, &state));
  impl.current = &state;
  impl.gradient = bucket.values.data();
  impl.id = id;
  impl.key = DitherKey(options_.format, impl.id);
  if (state.memory != nullptr) state.memory->pending = true;
  return impl.Enqueue(options_.format,
                      known ? cuda::Thresholds::kForecast : cuda::Thresholds::kExact, &state);
}

Status CudaCompressor::Finish(std::vector<std::byte>* frame) {
  Impl& impl = *impl_;
  if (impl.current == nullptr) {
    return Status::InvalidArgument("Finish needs a bucket that was started, and only one");
  }
  const cuda::DeviceGuard guard(impl.device);
  BucketState& state = *std::exchange(impl.current, nullptr);
  const auto wait = [&] { return StatusOf(cudaStreamSynchronize(impl.stream), "compressing"); };
  CDDP_RETURN_IF_ERROR(wait());
  if (impl.outcome->failed_parameters > 0) {
    statistics_.second_sweeps += impl.outcome->failed_parameters;
    CDDP_RETURN_IF_ERROR(impl.Enqueue(options_.format, cuda::Thresholds::kOfFailed, &state));
    CDDP_RETURN_IF_ERROR(wait());
    if (impl.outcome->failed_parameters > 0) {
      return Status::Internal(
          fmt::format("exact thresholds failed for {} parameters of bucket {} in step {}",
                      impl.outcome->failed_parameters, impl.id.bucket, impl.id.step));
    }
  }
  const Bucket bucket{.step = impl.id.step,
                      .index = impl.id.bucket,
                      .values = {static_cast<float*>(nullptr), impl.id.elements},
                      .parameters = state.parameters};
  if (impl.outcome->non_finite != 0) {
    Count(bucket, {});
    Selection none;
    CDDP_RETURN_IF_ERROR(
        EncodeFrame(options_.format, impl.id, {}, /*non_finite=*/true, &none, frame));
    statistics_.bytes_out += frame->size();
    return Status::Ok();
  }
  const size_t payload = size_t{impl.outcome->index_bytes} + state.encoder.value_bytes();
  if (payload > state.fetched) {
    CDDP_RETURN_IF_ERROR(impl.Fetch(state, state.fetched, payload));
    CDDP_RETURN_IF_ERROR(wait());
  }
  // A little more than now will do the next time, mostly.
  state.fetched = std::min(payload + payload / 16, state.encoder.max_bytes());
  AssembleFrame(options_.format, impl.id, state.run_ends, {impl.staging.data(), payload}, frame);
  Count(bucket, state.run_ends);
  statistics_.selections += state.selected_parameters;
  statistics_.bytes_out += frame->size();
  return Status::Ok();
}

Status CudaCompressor::Mean(std::span<const std::span<const std::byte>> frames,
                            std::span<const FrameId> ids, size_t max_entries, const Bucket& bucket,
                            bool* finite) {
  if (reinterpret_cast<uintptr_t>(bucket.values.data()) % 16 != 0) {
    return Status::InvalidArgument("the gradient to write to is not aligned to 16 bytes");
  }
  const cuda::DeviceGuard guard(impl_->device);
  const cudaStream_t stream = impl_->stream;
  std::vector<FrameView> views(frames.size());
  bool flagged_finite = true;
  for (size_t f = 0; f < frames.size(); ++f) {
    CDDP_RETURN_IF_ERROR(ReadFrameLayout(frames[f], ids[f], max_entries, &views[f]));
    // Each takes memory, however few its entries are.
    if (const size_t runs = FrameRunEnds(views[f]).size(); runs > bucket.parameters.size()) {
      return Status::Corrupt(
          fmt::format("frame of rank {}, step {}, bucket {}: it has entries of {} parameters, the "
                      "bucket has {}",
                      ids[f].rank, ids[f].step, ids[f].bucket, runs, bucket.parameters.size()));
    }
    flagged_finite &= !views[f].non_finite;
  }
  bool good = false;
  bool mean_finite = false;
  CDDP_RETURN_IF_ERROR(impl_->decoder.Upload(views, stream));
  CDDP_RETURN_IF_ERROR(
      impl_->decoder.SumUploaded(bucket.values.data(), static_cast<float>(frames.size()), stream));
  CDDP_RETURN_IF_ERROR(impl_->decoder.Wait(stream, &good, &mean_finite));
  if (!good) {
    // Which frame, and what of it, is for the CPU to say.
    for (size_t f = 0; f < frames.size(); ++f) {
      CDDP_RETURN_IF_ERROR(ValidateFrame(frames[f], ids[f], max_entries, &views[f]));
    }
    return Status::Internal(fmt::format("a GPU refuses frames of step {}, bucket {}, that are good",
                                        ids[0].step, ids[0].bucket));
  }
  if (flagged_finite && mean_finite) return Status::Ok();
  *finite = false;
  constexpr int kNaNByte = 0xff;
  CDDP_RETURN_IF_ERROR(
      StatusOf(cudaMemsetAsync(bucket.values.data(), kNaNByte, bucket.values.size_bytes(), stream),
               "voiding a gradient"));
  return StatusOf(cudaStreamSynchronize(stream), "voiding a gradient");
}

void CudaCompressor::EndStep(bool commit) { impl_->memory.EndStep(commit); }

NormByParameter CudaCompressor::ResidualNorms() const {
  const cuda::DeviceGuard guard(impl_->device);
  return impl_->memory.ResidualNorms();
}

Status CudaCompressor::Save(CompressorState* state) const {
  const cuda::DeviceGuard guard(impl_->device);
  *state = {.ratio = ratio(), .memory_name = options_.memory.name};
  return impl_->memory.Save(&state->memory);
}

Status CudaCompressor::Load(const CompressorState& state) {
  CDDP_RETURN_IF_ERROR(CheckState(state));
  const cuda::DeviceGuard guard(impl_->device);
  CDDP_RETURN_IF_ERROR(impl_->memory.Load(state.memory));
  options_.ratio = state.ratio;
  impl_->buckets.clear();
  impl_->current = nullptr;
  return Status::Ok();
}

Status RequireCudaDevice(int device) {
  int devices = 0;
  CDDP_RETURN_IF_ERROR(StatusOf(cudaGetDeviceCount(&devices), "looking for devices"));
  if (devices == 0) return Status::Unavailable("this machine has no CUDA device");
  if (device >= 0 && device < devices) return Status::Ok();
  return Status::InvalidArgument(
      fmt::format("device {} of {}: they are numbered from 0", device, devices));
}

}  // namespace cddp

#include "cddp/cuda_compressor.h"

#include <cuda_runtime_api.h>
#include <fmt/format.h>
#include <xxhash.h>

#include <algorithm>
#include <cstring>
#include <functional>
#include <map>
#include <string>
#include <utility>

#include "core/cuda/code_blocks.h"
#include "core/cuda/device.h"
#include "core/cuda/frame_decoder.h"
#include "core/cuda/frame_encoder.h"
#include "core/cuda/selection.h"
#include "core/frame_layout.h"

namespace cddp {
namespace {

using cuda::DeviceArray;
using cuda::StatusOf;

// Residuals and velocities of a bucket's elements before and after a step.
struct BucketMemory {
  DeviceArray<float> residual[2];
  DeviceArray<float> velocity[2];
  int side = 0;  // of the old state
  bool pending = false;

  float* Part(bool is_velocity) { return (is_velocity ? velocity : residual)[side].data(); }
  cuda::States states() {
    return {residual[side].data(), residual[1 - side].data(), velocity[side].data(),
            velocity[1 - side].data()};
  }
};

// Where a parameter's memory is.
struct Home {
  std::shared_ptr<BucketMemory> memory;
  size_t offset = 0;
  size_t elements = 0;
};

// A bucket as it was last seen.
struct BucketState {
  bool prepared = false;
  std::vector<BucketParameter> parameters;
  std::shared_ptr<BucketMemory> memory;
  cuda::BucketSelection selection;
  cuda::FrameEncoder encoder;
  std::vector<size_t> run_ends;
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
  CompressorOptions options;
  cudaStream_t stream = nullptr;
  int device = 0;
  cuda::MemoryKind memory = cuda::MemoryKind::kResidual;
  std::unique_ptr<Compressor> counts;  // for EntryCount only

  std::map<std::string, Home, std::less<>> homes;
  std::map<uint32_t, BucketState> buckets;

  // What was started.
  BucketState* current = nullptr;
  FrameId id;
  const float* gradient = nullptr;
  uint64_t key = 0;
  cuda::PinnedArray<cuda::Outcome> outcome;
  cuda::PinnedArray<std::byte> staging;
  uint64_t second_sweeps = 0;

  cuda::FrameDecoder decoder;

  Status Allocate(size_t elements, std::shared_ptr<BucketMemory>* memory);
  Status MoveIn(std::span<const BucketParameter> parameters,
                const std::shared_ptr<BucketMemory>& memory);
  Status Prepare(const Bucket& bucket, BucketState* state);
  Status Enqueue(cuda::Thresholds thresholds);

  std::vector<std::pair<const char*, bool>> Parts() const {
    if (memory == cuda::MemoryKind::kDgc) return {{"/residual", false}, {"/velocity", true}};
    return {{"", false}};
  }
};

// All zero.
Status CudaCompressor::Impl::Allocate(size_t elements, std::shared_ptr<BucketMemory>* allocated) {
  auto made = std::make_shared<BucketMemory>();
  for (int side : {0, 1}) {
    CDDP_RETURN_IF_ERROR(made->residual[side].MakeZero(elements, stream));
    if (memory == cuda::MemoryKind::kDgc) {
      CDDP_RETURN_IF_ERROR(made->velocity[side].MakeZero(elements, stream));
    }
  }
  *allocated = std::move(made);
  return Status::Ok();
}

// Moves what is kept of the parameters from where it was, in buckets of another layout.
Status CudaCompressor::Impl::MoveIn(std::span<const BucketParameter> parameters,
                                    const std::shared_ptr<BucketMemory>& to) {
  for (const BucketParameter& parameter : parameters) {
    const auto home = homes.find(parameter.name);
    if (home != homes.end() && home->second.elements != parameter.count) {
      return Status::InvalidArgument(
          fmt::format("parameter {} has {} elements in this step but {} in its memory",
                      parameter.name, parameter.count, home->second.elements));
    }
  }
  for (const BucketParameter& parameter : parameters) {
    Home& home = homes[parameter.name];
    for (const auto& [suffix, is_velocity] : Parts()) {
      if (home.memory == nullptr) continue;
      CDDP_RETURN_IF_ERROR(
          StatusOf(cudaMemcpyAsync(to->Part(is_velocity) + parameter.offset,
                                   home.memory->Part(is_velocity) + home.offset,
                                   home.elements * sizeof(float), cudaMemcpyDeviceToDevice, stream),
                   "moving a memory"));
    }
    home = {to, parameter.offset, parameter.count};
  }
  return Status::Ok();
}

Status CudaCompressor::Impl::Prepare(const Bucket& bucket, BucketState* state) {
  state->prepared = false;  // unless all goes well, the next step prepares it again
  state->run_ends.clear();
  if (memory != cuda::MemoryKind::kNone) {
    std::shared_ptr<BucketMemory> moved;
    CDDP_RETURN_IF_ERROR(Allocate(bucket.values.size(), &moved));
    CDDP_RETURN_IF_ERROR(MoveIn(bucket.parameters, moved));
    state->memory = std::move(moved);
    // A bucket that has lost a parameter is another one now, if it comes again.
    std::erase_if(buckets, [&](const auto& item) {
      return &item.second != state &&
             std::ranges::any_of(item.second.parameters, [&](const auto& parameter) {
               return homes.find(parameter.name)->second.memory != item.second.memory;
             });
    });
  }
  std::vector<cuda::Parameter> parameters;
  size_t entries = 0;
  for (const BucketParameter& parameter : bucket.parameters) {
    const size_t k = counts->EntryCount(parameter);
    entries += k;
    state->run_ends.push_back(entries);
    parameters.push_back(
        {.offset = parameter.offset, .count = parameter.count, .k = static_cast<uint32_t>(k)});
  }
  const MomentumRule rule{.momentum = static_cast<float>(options.memory.momentum),
                          .nesterov = options.memory.nesterov,
                          .masking = options.memory.momentum_masking};
  CDDP_RETURN_IF_ERROR(state->selection.Prepare(memory, rule, std::move(parameters), stream));
  CDDP_RETURN_IF_ERROR(state->encoder.Prepare(state->selection, options.format.values, stream));
  CDDP_RETURN_IF_ERROR(staging.Make(state->encoder.max_bytes()));
  state->parameters.assign(bucket.parameters.begin(), bucket.parameters.end());
  state->prepared = true;
  return Status::Ok();
}

Status CudaCompressor::Impl::Enqueue(cuda::Thresholds thresholds) {
  cuda::States states;
  if (current->memory != nullptr) states = current->memory->states();
  if (thresholds != cuda::Thresholds::kForecast) {
    CDDP_RETURN_IF_ERROR(
        current->selection.ResolveThresholds(thresholds, gradient, states, stream));
  }
  CDDP_RETURN_IF_ERROR(current->selection.Select(thresholds, gradient, states, stream));
  CDDP_RETURN_IF_ERROR(current->encoder.Encode(current->selection, states.residual_next,
                                               options.format.stochastic, key, stream));
  return StatusOf(cudaMemcpyAsync(outcome.data(), current->selection.outcome(),
                                  sizeof(cuda::Outcome), cudaMemcpyDeviceToHost, stream),
                  "copying from the device");
}

CudaCompressor::CudaCompressor(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
CudaCompressor::~CudaCompressor() = default;

Status CudaCompressor::Create(const CompressorOptions& options, void* stream,
                              std::unique_ptr<CudaCompressor>* compressor) {
  auto impl = std::make_unique<Impl>();
  CDDP_RETURN_IF_ERROR(Compressor::Create(options, &impl->counts));
  const auto refuse = [](const char* what) {
    return Status::InvalidArgument(fmt::format("compression on a GPU has no {}", what));
  };
  if (options.selector.name != "topk") return refuse("selector but topk");
  if (options.memory.clip_norm > 0) return refuse("clipping norm; clip before (clip_norm 0)");
  if (options.adaptive_every > 0) return refuse("adaptive budgets (adaptive_every 0)");
  if (options.format.indices != IndexFormat::kAuto &&
      options.format.indices != IndexFormat::kRiceBlocks) {
    return refuse("index codec but rice-blocks");
  }
  if (!cuda::CodesOnDevice(options.format.values)) {
    return refuse("value codec but fp32, bf16, int8 and int4");
  }
  Status problem;
  if (CudaDeviceCount(&problem) == 0) return problem;
  impl->options = options;
  impl->options.format.indices = IndexFormat::kRiceBlocks;
  impl->stream = static_cast<cudaStream_t>(stream);
  impl->memory = options.memory.name == "none"       ? cuda::MemoryKind::kNone
                 : options.memory.name == "residual" ? cuda::MemoryKind::kResidual
                                                     : cuda::MemoryKind::kDgc;
  CDDP_RETURN_IF_ERROR(StatusOf(cudaGetDevice(&impl->device), "asking for the device"));
  CDDP_RETURN_IF_ERROR(RequireCapability(impl->device));
  CDDP_RETURN_IF_ERROR(impl->outcome.Make(1));
  compressor->reset(new CudaCompressor(std::move(impl)));
  return Status::Ok();
}

size_t CudaCompressor::EntryCount(const Bucket& bucket) const {
  return impl_->counts->EntryCount(bucket);
}

Status CudaCompressor::Start(const Bucket& bucket, uint32_t rank) {
  Impl& impl = *impl_;
  const cuda::DeviceGuard guard(impl.device);
  impl.current = nullptr;
  if (reinterpret_cast<uintptr_t>(bucket.values.data()) % 16 != 0) {
    return Status::InvalidArgument(
        fmt::format("the gradients of bucket {} are not aligned to 16 bytes", bucket.index));
  }
  const FrameId id{.step = bucket.step,
                   .bucket = bucket.index,
                   .rank = rank,
                   .elements = static_cast<uint32_t>(bucket.values.size())};
  CDDP_RETURN_IF_ERROR(
      CheckFrameLimits(impl.options.format, id, EntryCount(bucket), bucket.parameters.size()));
  BucketState& state = impl.buckets[bucket.index];
  const bool known = state.prepared && std::ranges::equal(state.parameters, bucket.parameters);
  if (!known) CDDP_RETURN_IF_ERROR(impl.Prepare(bucket, &state));
  impl.current = &state;
  impl.gradient = bucket.values.data();
  impl.id = id;
  impl.key = DitherKey(impl.options.format, impl.id);
  if (state.memory != nullptr) state.memory->pending = true;
  return impl.Enqueue(known ? cuda::Thresholds::kForecast : cuda::Thresholds::kExact);
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
    impl.second_sweeps += impl.outcome->failed_parameters;
    impl.current = &state;
    CDDP_RETURN_IF_ERROR(impl.Enqueue(cuda::Thresholds::kOfFailed));
    impl.current = nullptr;
    CDDP_RETURN_IF_ERROR(wait());
    if (impl.outcome->failed_parameters > 0) {
      return Status::Internal(
          fmt::format("exact thresholds failed for {} parameters of bucket {} in step {}",
                      impl.outcome->failed_parameters, impl.id.bucket, impl.id.step));
    }
  }
  if (impl.outcome->non_finite != 0) {
    Selection none;
    return EncodeFrame(impl.options.format, impl.id, {}, /*non_finite=*/true, &none, frame);
  }
  const size_t payload = size_t{impl.outcome->index_bytes} + state.encoder.value_bytes();
  CDDP_RETURN_IF_ERROR(StatusOf(cudaMemcpyAsync(impl.staging.data(), state.encoder.payload(),
                                                payload, cudaMemcpyDeviceToHost, impl.stream),
                                "copying a frame from the device"));
  CDDP_RETURN_IF_ERROR(wait());
  AssembleFrame(impl.options.format, impl.id, state.run_ends, {impl.staging.data(), payload},
                frame);
  return Status::Ok();
}

Status CudaCompressor::Sum(std::span<const std::vector<std::byte>> frames,
                           std::span<const FrameId> ids, size_t max_entries, float* gradient,
                           bool* finite) {
  if (frames.empty() || ids.size() != frames.size()) {
    return Status::InvalidArgument(fmt::format(
        "{} frames and {} ids: one of each is needed for every rank", frames.size(), ids.size()));
  }
  if (reinterpret_cast<uintptr_t>(gradient) % 16 != 0) {
    return Status::InvalidArgument("the gradient to write to is not aligned to 16 bytes");
  }
  const cuda::DeviceGuard guard(impl_->device);
  std::vector<FrameView> views(frames.size());
  *finite = true;
  for (size_t f = 0; f < frames.size(); ++f) {
    CDDP_RETURN_IF_ERROR(ReadFrameLayout(frames[f], ids[f], max_entries, &views[f]));
    *finite &= !views[f].non_finite;
  }
  bool good = false;
  CDDP_RETURN_IF_ERROR(impl_->decoder.Upload(views, impl_->stream));
  CDDP_RETURN_IF_ERROR(impl_->decoder.SumUploaded(gradient, impl_->stream));
  CDDP_RETURN_IF_ERROR(impl_->decoder.Wait(impl_->stream, &good));
  if (good) return Status::Ok();
  // Which frame, and what of it, is for the CPU to say.
  for (size_t f = 0; f < frames.size(); ++f) {
    CDDP_RETURN_IF_ERROR(ValidateFrame(frames[f], ids[f], max_entries, &views[f]));
  }
  return Status::Internal(fmt::format("a GPU refuses frames of step {}, bucket {}, that are good",
                                      ids[0].step, ids[0].bucket));
}

void CudaCompressor::EndStep(bool commit) {
  for (auto& [name, home] : impl_->homes) {
    BucketMemory& memory = *home.memory;
    if (commit && memory.pending) memory.side = 1 - memory.side;
    memory.pending = false;
  }
}

Status CudaCompressor::Save(MemoryState* state) const {
  const cuda::DeviceGuard guard(impl_->device);
  state->clear();
  for (const auto& [name, home] : impl_->homes) {
    for (const auto& [suffix, is_velocity] : impl_->Parts()) {
      std::vector<float>& values = (*state)[name + suffix];
      values.resize(home.elements);
      CDDP_RETURN_IF_ERROR(StatusOf(
          cudaMemcpyAsync(values.data(), home.memory->Part(is_velocity) + home.offset,
                          home.elements * sizeof(float), cudaMemcpyDeviceToHost, impl_->stream),
          "copying a memory from the device"));
    }
  }
  return StatusOf(cudaStreamSynchronize(impl_->stream), "copying memories from the device");
}

Status CudaCompressor::Load(const MemoryState& state) {
  // The CPU's memory knows what fits: names, sizes, finite values.
  std::unique_ptr<Memory> checker;
  CDDP_RETURN_IF_ERROR(MakeMemory(impl_->options.memory, &checker));
  MemoryState known;
  CDDP_RETURN_IF_ERROR(Save(&known));
  CDDP_RETURN_IF_ERROR(checker->Load(known));
  CDDP_RETURN_IF_ERROR(checker->Load(state));
  const cuda::DeviceGuard guard(impl_->device);
  std::map<std::string, Home, std::less<>> loaded;
  for (const auto& [suffix, is_velocity] : impl_->Parts()) {
    for (const auto& [key, values] : state) {
      if (!key.ends_with(suffix)) continue;
      Home& home = loaded[key.substr(0, key.size() - std::strlen(suffix))];
      home.elements = values.size();
      if (home.memory == nullptr) {
        CDDP_RETURN_IF_ERROR(impl_->Allocate(values.size(), &home.memory));
      }
      CDDP_RETURN_IF_ERROR(StatusOf(
          cudaMemcpyAsync(home.memory->Part(is_velocity), values.data(),
                          values.size() * sizeof(float), cudaMemcpyHostToDevice, impl_->stream),
          "copying a memory to the device"));
    }
  }
  CDDP_RETURN_IF_ERROR(
      StatusOf(cudaStreamSynchronize(impl_->stream), "copying memories to the device"));
  impl_->homes.swap(loaded);
  impl_->buckets.clear();
  impl_->current = nullptr;
  return Status::Ok();
}

uint64_t CudaCompressor::second_sweeps() const { return impl_->second_sweeps; }

int CudaDeviceCount(Status* problem) {
  int count = 0;
  const cudaError_t error = cudaGetDeviceCount(&count);
  if (error == cudaSuccess && count > 0) {
    *problem = Status::Ok();
    return count;
  }
  cudaGetLastError();
  *problem = error == cudaSuccess ? Status::Unavailable("this machine has no CUDA device")
                                  : StatusOf(error, "looking for devices");
  return 0;
}

}  // namespace cddp

#include "ddp/aten_compressor.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "ddp/torch_error.h"

namespace cddp {
namespace {

Selection SelectionOf(const at::Tensor& indices, const at::Tensor& values) {
  const at::Tensor host_indices = indices.to(at::kCPU).contiguous();
  const at::Tensor host_values = values.to(at::kCPU).contiguous();
  const auto* index = host_indices.data_ptr<int64_t>();
  const auto* value = host_values.data_ptr<float>();
  Selection selection;
  selection.indices.assign(index, index + host_indices.numel());
  selection.values.assign(value, value + host_values.numel());
  return selection;
}

at::Tensor AsTensor(std::span<const uint32_t> indices) {
  const at::Tensor tensor = torch::empty({static_cast<int64_t>(indices.size())}, torch::kLong);
  std::ranges::copy(indices, tensor.data_ptr<int64_t>());
  return tensor;
}

std::vector<float> HostValues(const at::Tensor& tensor) {
  const at::Tensor host = tensor.to(at::kCPU).contiguous();
  return {host.data_ptr<float>(), host.data_ptr<float>() + host.numel()};
}

// Runs what uses libtorch's operators, whose errors become a status.
template <typename Work>
Status WithAten(const char* what, Work work) {
  const torch::NoGradGuard no_grad;
  try {
    return work();
  } catch (const c10::Error& error) {
    if (const std::optional<Status> status = OutOfMemory(error)) return *status;
    return Status::Internal(fmt::format("{}: {}", what, FirstLine(error)));
  }
}

}  // namespace

AtenCompressor::AtenCompressor(at::Device device, const CompressorOptions& options)
    : DeviceCompressor(options), device_(device), side_(device) {}

Status AtenCompressor::Create(at::Device device, const CompressorOptions& options,
                              std::unique_ptr<AtenCompressor>* compressor) {
  CDDP_RETURN_IF_ERROR(CheckOptions(options, device.str()));
  const auto make = [&](std::unique_ptr<AtenCompressor>* made) {
    return WithAten("making a stream", [&] {
      made->reset(new AtenCompressor(device, options));
      return Status::Ok();
    });
  };
  std::unique_ptr<AtenCompressor> trial;
  CDDP_RETURN_IF_ERROR(make(&trial));
  if (const Status status = trial->Try(); !status.ok()) {
    if (status.code() == StatusCode::kUnavailable) return status;
    return Status::InvalidArgument(
        fmt::format("libtorch cannot compress on {}: {}", device.str(), status.message()));
  }
  return make(compressor);
}

// A step of a parameter that does not go whole: whether the device has all operators.
Status AtenCompressor::Try() {
  options_.whole_limit = 0;
  const uint32_t elements = 64;
  at::Tensor gradient;
  CDDP_RETURN_IF_ERROR(WithAten("making a tensor", [&] {
    gradient = torch::ones({elements}, torch::TensorOptions(torch::kFloat).device(device_));
    return Status::Ok();
  }));
  const BucketParameter parameter{.name = "trial", .offset = 0, .count = elements};
  const Bucket bucket{.step = 0,
                      .index = 0,
                      .values = {gradient.data_ptr<float>(), elements},
                      .parameters = std::span(&parameter, 1)};
  std::vector<std::byte> frame;
  CDDP_RETURN_IF_ERROR(Start(bucket, 0));
  CDDP_RETURN_IF_ERROR(Finish(&frame));
  const std::span<const std::byte> frames[] = {frame};
  const FrameId ids[] = {{.step = 0, .bucket = 0, .rank = 0, .elements = elements}};
  bool finite = true;
  return Mean(frames, ids, EntryCount(bucket), bucket, &finite);
}

at::Tensor AtenCompressor::OfBucket(const Bucket& bucket) const {
  return at::for_blob(bucket.values.data(), {static_cast<int64_t>(bucket.values.size())})
      .options(torch::TensorOptions(torch::kFloat).device(device_))
      .target_device(device_)
      .make_tensor();
}

at::Tensor AtenCompressor::OnDevice(std::span<const float> values) const {
  return torch::from_blob(const_cast<float*>(values.data()), {static_cast<int64_t>(values.size())},
                          torch::kFloat)
      .to(device_, /*non_blocking=*/false, /*copy=*/true);
}

// One operator for each rounding, as the CPU rounds (core/sweep.h).
at::Tensor AtenCompressor::Accumulate(const at::Tensor& gradient, Kept* kept) const {
  if (!keeps()) return gradient;
  if (!has_momentum()) return gradient + kept->residual;
  const double momentum = options_.memory.momentum;
  kept->next_velocity = kept->velocity * momentum + gradient;
  if (!options_.memory.nesterov) return kept->residual + kept->next_velocity;
  return kept->residual + (kept->next_velocity * momentum + gradient);
}

// The k largest magnitudes of finite values, ties to the lowest index.
AtenCompressor::Taken AtenCompressor::Take(const at::Tensor& accumulated, size_t k,
                                           Kept* kept) const {
  const auto count = static_cast<int64_t>(k);
  if (count == accumulated.numel()) {
    kept->next_residual = torch::zeros_like(accumulated);  // the velocity stays
    return {torch::arange(count, torch::TensorOptions(torch::kLong).device(device_)), accumulated};
  }
  const at::Tensor magnitudes = accumulated.abs();
  const at::Tensor least = std::get<0>(magnitudes.topk(count)).min();
  const at::Tensor above = magnitudes > least;
  const at::Tensor ties = magnitudes == least;
  const at::Tensor taken = above | (ties & (ties.cumsum(0) <= count - above.sum()));
  kept->next_residual = accumulated.masked_fill(taken, 0);
  if (has_momentum() && options_.memory.momentum_masking) {
    kept->next_velocity.masked_fill_(taken, 0);
  }
  return {taken.nonzero().flatten(), accumulated.masked_select(taken)};
}

Status AtenCompressor::Start(const Bucket& bucket, uint32_t rank) {
  frame_.clear();
  std::vector<std::byte> frame;
  return WithAten("compressing", [&] {
    Status status;
    side_.Run(nullptr, [&] { status = CompressBucket(bucket, rank, &frame); });
    if (status.ok()) frame_ = std::move(frame);
    return status;
  });
}

Status AtenCompressor::CompressBucket(const Bucket& bucket, uint32_t rank,
                                      std::vector<std::byte>* frame) {
  const FrameId id = FrameIdOf(bucket, rank);
  const at::Tensor gradients = OfBucket(bucket);
  std::vector<std::pair<at::Tensor, Kept*>> accumulated;
  at::Tensor finite = torch::ones({}, torch::TensorOptions(torch::kBool).device(device_));
  Kept nothing;
  for (const BucketParameter& parameter : bucket.parameters) {
    const at::Tensor gradient = gradients.narrow(0, parameter.offset, parameter.count);
    Kept* kept = &nothing;
    if (keeps()) {
      kept = &kept_[parameter.name];
      if (!kept->residual.defined()) kept->residual = torch::zeros_like(gradient);
      if (!kept->velocity.defined() && has_momentum()) kept->velocity = torch::zeros_like(gradient);
      if (kept->residual.numel() != gradient.numel()) {
        return Status::InvalidArgument(
            fmt::format("parameter {} has {} elements in this step but {} in its memory",
                        parameter.name, gradient.numel(), kept->residual.numel()));
      }
    }
    accumulated.emplace_back(Accumulate(gradient, kept), kept);
    finite &= torch::isfinite(accumulated.back().first).all();
  }
  if (!finite.item<bool>()) {
    Count(bucket, {});
    Selection none;
    CDDP_RETURN_IF_ERROR(EncodeFrame(format(), id, {}, /*non_finite=*/true, &none, frame));
    statistics_.bytes_out += frame->size();
    return Status::Ok();
  }

  std::vector<Taken> taken;
  std::vector<at::Tensor> indices, values;
  std::vector<size_t> run_ends;
  for (size_t p = 0; p < bucket.parameters.size(); ++p) {
    const size_t k = EntriesByRatio(options_, bucket.parameters[p].count);
    statistics_.selections += k < bucket.parameters[p].count;
    taken.push_back(Take(accumulated[p].first, k, accumulated[p].second));
    indices.push_back(taken.back().indices + static_cast<int64_t>(bucket.parameters[p].offset));
    values.push_back(taken.back().values);
    run_ends.push_back((p > 0 ? run_ends[p - 1] : 0) + k);
  }
  Selection selection = SelectionOf(torch::cat(indices), torch::cat(values));
  CDDP_RETURN_IF_ERROR(
      EncodeFrame(format(), id, run_ends, /*non_finite=*/false, &selection, frame));
  if (keeps()) Settle(bucket, taken, selection);
  Count(bucket, run_ends);
  statistics_.bytes_out += frame->size();
  return Status::Ok();
}

// What was rounded away stays.
void AtenCompressor::Settle(const Bucket& bucket, const std::vector<Taken>& taken,
                            const Selection& decoded) {
  const at::Tensor all = OnDevice(decoded.values);
  int64_t begin = 0;
  for (size_t p = 0; p < taken.size(); ++p) {
    const auto& [indices, values] = taken[p];
    kept_.find(bucket.parameters[p].name)
        ->second.next_residual.index_copy_(0, indices,
                                           values - all.narrow(0, begin, values.numel()));
    begin += values.numel();
  }
}

Status AtenCompressor::Finish(std::vector<std::byte>* frame) {
  if (frame_.empty()) {
    return Status::InvalidArgument("Finish needs a bucket that was started, and only one");
  }
  *frame = std::exchange(frame_, {});
  return Status::Ok();
}

Status AtenCompressor::Mean(std::span<const std::span<const std::byte>> frames,
                            std::span<const FrameId> ids, size_t max_entries, const Bucket& bucket,
                            bool* finite) {
  std::vector<Selection> entries(frames.size());
  bool good = true;
  for (size_t f = 0; f < frames.size(); ++f) {
    FrameView view;
    CDDP_RETURN_IF_ERROR(DecodeFrame(frames[f], ids[f], max_entries, &view, &entries[f]));
    good &= !view.non_finite;
  }
  const auto sum = [&] {
    at::Tensor mean = OfBucket(bucket).zero_();
    // Each index at most once in a frame: so the order of additions is that of the frames.
    for (const Selection& of_rank : entries) {
      mean.index_add_(0, AsTensor(of_rank.indices).to(device_), OnDevice(of_rank.values));
    }
    // By a tensor: a number's reciprocal would be multiplied with on a GPU.
    mean.div_(torch::full({}, static_cast<double>(frames.size()), mean.options()));
    good = good && torch::isfinite(mean).all().item<bool>();
    if (!good) mean.fill_(std::nanf(""));
  };
  CDDP_RETURN_IF_ERROR(WithAten("summing up", [&] {
    side_.Run(nullptr, sum);
    return Status::Ok();
  }));
  *finite &= good;
  return Status::Ok();
}

void AtenCompressor::EndStep(bool commit) {
  for (auto& [parameter, kept] : kept_) {
    if (commit && kept.next_residual.defined()) kept.residual = kept.next_residual;
    if (commit && kept.next_velocity.defined()) kept.velocity = kept.next_velocity;
    kept.next_residual = kept.next_velocity = at::Tensor();
  }
}

NormByParameter AtenCompressor::ResidualNorms() const {
  NormByParameter norms;
  for (const auto& [parameter, kept] : kept_) {
    norms[parameter] = kept.residual.norm().item<double>();
  }
  return norms;
}

Status AtenCompressor::Save(CompressorState* state) const {
  *state = {.ratio = ratio(), .memory_name = options_.memory.name};
  return WithAten("saving the memory", [&] {
    const std::span<const std::string_view> parts = MemoryParts(memory_name());
    for (const auto& [parameter, kept] : kept_) {
      for (size_t part = 0; part < parts.size(); ++part) {
        state->memory[parameter + std::string(parts[part])] =
            HostValues(part == 0 ? kept.residual : kept.velocity);
      }
    }
    return Status::Ok();
  });
}

Status AtenCompressor::Load(const CompressorState& state) {
  CDDP_RETURN_IF_ERROR(CheckState(state));
  return WithAten("loading the memory", [&] {
    decltype(kept_) loaded;
    for (const auto& [key, values] : state.memory) {
      const std::optional<MemoryKey> of = ParseMemoryKey(memory_name(), key);
      if (!of) continue;
      Kept& kept = loaded[of->parameter];
      (of->part == 0 ? kept.residual : kept.velocity) = OnDevice(values);
    }
    kept_.swap(loaded);
    options_.ratio = state.ratio;
    return Status::Ok();
  });
}

std::unique_ptr<Collective> MakeAtenCollective(at::Device device, const CompressorOptions& options,
                                               Transport* transport) {
  std::unique_ptr<AtenCompressor> compressor;
  ThrowIfError(AtenCompressor::Create(device, options, &compressor));
  return MakeDeviceGatherCollective(transport, std::move(compressor));
}

}  // namespace cddp

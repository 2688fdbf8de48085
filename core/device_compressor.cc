#include "cddp/device_compressor.h"

#include <fmt/format.h>

#include "cddp/compressor.h"

namespace cddp {
namespace {

// One for gradients on the host: it knows what is valid.
Status MakeHostCompressor(CompressorOptions options, std::unique_ptr<Compressor>* compressor) {
  options.selector.threads = 1;  // it selects nothing
  return Compressor::Create(options, compressor);
}

}  // namespace

Status DeviceCompressor::CheckOptions(const CompressorOptions& options, std::string_view where) {
  std::unique_ptr<Compressor> of_host;
  CDDP_RETURN_IF_ERROR(MakeHostCompressor(options, &of_host));
  const auto refuse = [&](std::string_view what) {
    return Status::InvalidArgument(fmt::format("compression on {} has no {}", where, what));
  };
  if (options.selector.name != "topk") return refuse("selector but topk");
  if (options.memory.clip_norm > 0) return refuse("clipping norm; clip before (clip_norm 0)");
  if (options.adaptive_every > 0) return refuse("adaptive budgets (adaptive_every 0)");
  return Status::Ok();
}

Status DeviceCompressor::CheckState(const CompressorState& state) const {
  CompressorState known;
  CDDP_RETURN_IF_ERROR(Save(&known));
  std::unique_ptr<Compressor> of_host;
  CDDP_RETURN_IF_ERROR(MakeHostCompressor(options_, &of_host));
  CDDP_RETURN_IF_ERROR(of_host->Load(known));
  return of_host->Load(state);
}

size_t DeviceCompressor::EntryCount(const Bucket& bucket) const {
  size_t count = 0;
  for (const BucketParameter& parameter : bucket.parameters) {
    count += EntriesByRatio(options_, parameter.count);
  }
  return count;
}

Status DeviceCompressor::SetRatio(double ratio) {
  CDDP_RETURN_IF_ERROR(ValidateRatio(ratio));
  options_.ratio = ratio;
  return Status::Ok();
}

}  // namespace cddp

#include "cddp/compressor.h"

#include "cddp/frame.h"

namespace cddp {

Status Compressor::Create(const CompressorOptions& options,
                          std::unique_ptr<Compressor>* compressor) {
  CDDP_RETURN_IF_ERROR(ValidateRatio(options.ratio));
  std::unique_ptr<Compressor> created(new Compressor(options));
  CDDP_RETURN_IF_ERROR(MakeSelector(options.selector, &created->selector_));
  CDDP_RETURN_IF_ERROR(MakeMemory(options.memory, &created->memory_));
  *compressor = std::move(created);
  return Status::Ok();
}

size_t Compressor::EntryCount(const BucketParameter& parameter) const {
  if (parameter.count <= options_.whole_limit) return parameter.count;
  return SelectionCount(parameter.count, options_.ratio);
}

size_t Compressor::EntryCount(const Bucket& bucket) const {
  size_t count = 0;
  for (const BucketParameter& parameter : bucket.parameters) count += EntryCount(parameter);
  return count;
}

Status Compressor::Compress(const Bucket& bucket, uint32_t rank, std::vector<std::byte>* frame) {
  const auto start = std::chrono::steady_clock::now();
  selection_.Clear();
  ends_.clear();
  bool finite = true;
  for (const BucketParameter& parameter : bucket.parameters) {
    Accumulated accumulated;
    CDDP_RETURN_IF_ERROR(memory_->Accumulate(
        parameter.name, bucket.values.subspan(parameter.offset, parameter.count), &accumulated));
    finite &= accumulated.finite;
    if (!finite) continue;
    selector_->Select(accumulated.values, EntryCount(parameter), parameter.offset, &selection_);
    ends_.push_back(selection_.size());
  }
  if (!finite) selection_.Clear();

  const FrameId id{.step = bucket.step,
                   .bucket = bucket.index,
                   .rank = rank,
                   .elements = static_cast<uint32_t>(bucket.values.size())};
  CDDP_RETURN_IF_ERROR(EncodeFrame(id, !finite, &selection_, frame));

  if (finite) {
    // Encoding left in selection_ what receivers decode: only that leaves the memory.
    size_t begin = 0;
    for (size_t p = 0; p < bucket.parameters.size(); ++p) {
      const BucketParameter& parameter = bucket.parameters[p];
      const size_t count = ends_[p] - begin;
      memory_->Subtract(parameter.name, parameter.offset,
                        std::span<const uint32_t>(selection_.indices).subspan(begin, count),
                        std::span<const float>(selection_.values).subspan(begin, count));
      begin = ends_[p];
    }
  }

  ++statistics_.calls;
  statistics_.elements += bucket.values.size();
  statistics_.entries += selection_.size();
  statistics_.bytes_in += bucket.values.size_bytes();
  statistics_.bytes_out += frame->size();
  statistics_.time += std::chrono::steady_clock::now() - start;
  return Status::Ok();
}

void Compressor::EndStep(bool commit) {
  if (commit) {
    memory_->Commit();
  } else {
    memory_->Void();
  }
}

}  // namespace cddp

#include "core/candidates.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cmath>
#include <functional>
#include <limits>
#include <numeric>
#include <utility>

#include "core/sweep.h"

namespace cddp {
namespace {

constexpr size_t kChunk = Accumulation::kChunkElements;
constexpr size_t kMinSample = 8;  // chunks
constexpr uint32_t kAnyIndex = std::numeric_limits<uint32_t>::max();

uint32_t Magnitude(float value) { return std::bit_cast<uint32_t>(value) & kMagnitudeMask; }

// A step through `chunks` chunks that visits each once.
size_t ChunkStride(size_t chunks) {
  auto stride = static_cast<size_t>(0.618 * static_cast<double>(chunks)) | 1;
  while (std::gcd(stride, chunks) != 1) ++stride;
  return stride;
}

}  // namespace

void Candidates::Begin(size_t k, uint32_t threshold) {
  k_ = k;
  cut_ = {threshold, kAnyIndex};
  size_ = 0;
  segments_.clear();
  const size_t capacity = 2 * k + kChunk + Entries::kPadding;
  if (indices_.size() < capacity) {
    indices_.resize(capacity);
    values_.resize(capacity);
  }
}

void Candidates::Gather(Pass pass, Accumulation& accumulation, WorkerPool& pool) {
  const size_t n = accumulation.size();
  chunks_ = (n + kChunk - 1) / kChunk;
  swept_chunks_ = 0;
  // A second pass must find k: it takes no chances.
  next_raise_ = pass == Pass::kFirst ? std::max(kMinSample, chunks_ / 32) : chunks_;
  const size_t stride = ChunkStride(chunks_);
  std::atomic<size_t> next = 0;
  const bool alone = pool.size() == 1 || chunks_ == 1;
  if (!alone) rooms_.resize(static_cast<size_t>(pool.size()));
  for (Room& room : rooms_) room.Make(kChunk);
  const auto work = [&](int worker) {
    for (size_t i; (i = next.fetch_add(1, std::memory_order_relaxed)) < chunks_;) {
      const size_t begin = (i * stride % chunks_) * kChunk;
      const Entries entries = alone ? End() : rooms_[static_cast<size_t>(worker)].entries();
      const uint32_t threshold = Threshold(begin);
      const Swept swept =
          accumulation.Sweep(pass, begin, std::min(kChunk, n - begin), threshold, entries);
      Append(begin, threshold, entries, swept.taken, accumulation);
    }
  };
  if (alone) {
    work(0);
  } else {
    pool.Run(work);
  }
}

// What an element of the chunk that starts at element `begin` must reach.
uint32_t Candidates::Threshold(size_t begin) {
  const std::lock_guard lock(mutex_);
  return ThresholdOfCut(begin);
}

uint32_t Candidates::ThresholdOfCut(size_t begin) const {
  return begin > cut_.index ? cut_.magnitude + 1 : cut_.magnitude;
}

// Adds the first `count` of `entries`, which a sweep of the chunk at `begin` took.
void Candidates::Append(size_t begin, uint32_t threshold, const Entries& entries, size_t count,
                        Accumulation& accumulation) {
  const std::lock_guard lock(mutex_);
  ++swept_chunks_;
  if (count > 0) {
    if (entries.indices != End().indices) {
      std::copy_n(entries.indices, count, End().indices);
      std::copy_n(entries.values, count, End().values);
    }
    segments_.push_back({begin, size_, count});
    size_ += count;
    // The threshold may have risen while the chunk was swept: no entry stays below it,
    // or there might seem to be k candidates when there are not.
    if (threshold < ThresholdOfCut(begin)) Drop(segments_.size() - 1, accumulation);
    if (size_ > 2 * k_) {  // the next chunk might not fit
      cut_ = FindCut(k_);
      Drop(0, accumulation);
    }
  }
  if (swept_chunks_ == next_raise_ && swept_chunks_ < chunks_) {
    RaiseThreshold(accumulation);
    next_raise_ = next_raise_ < chunks_ / 8 ? chunks_ / 8 : chunks_;
  }
}

// The swept chunks are a sample of all. With them the number of entries of the
// whole that reach a threshold is known up to the deviation of their counts: the
// threshold may rise to where, five deviations down, there would still be k.
void Candidates::RaiseThreshold(Accumulation& accumulation) {
  // Where the large entries crowd in few chunks, the counts deviate the more the
  // higher the threshold is: so it is lowered until it fits its own counts.
  size_t rank = RankToKeep(cut_.magnitude);
  Cut cut;
  for (;;) {
    if (rank >= size_) return;
    cut = FindCut(rank);
    const size_t needed = RankToKeep(cut.magnitude);
    if (needed <= rank) break;
    rank = needed;
  }
  // All ties come through: which of them count is not known yet.
  cut_ = {cut.magnitude, kAnyIndex};
  Drop(0, accumulation);
}

// How many of the entries so far must be kept, judged by how many of each chunk
// reach `threshold`.
size_t Candidates::RankToKeep(uint32_t threshold) {
  constexpr double kDeviations = 5;
  double count = 0;
  double squares = 0;
  for (const Segment& segment : segments_) {
    const auto values = std::span<const float>(values_).subspan(segment.at, segment.count);
    const auto reach = static_cast<double>(std::ranges::count_if(
        values, [threshold](float value) { return Magnitude(value) >= threshold; }));
    count += reach;
    squares += reach * reach;
  }
  const auto sampled = static_cast<double>(swept_chunks_);
  const double mean = count / sampled;
  const double wanted = static_cast<double>(k_) / static_cast<double>(chunks_);
  // Relative variance of a chunk's count beyond that of chance alone.
  const double excess =
      mean > 0 ? std::max(0.0, squares / sampled / (mean * mean) - 1 - 1 / mean) : 0.0;
  const double deviation = std::sqrt((1 / wanted + excess) / sampled);
  return static_cast<size_t>(std::ceil(wanted * sampled * (1 + kDeviations * deviation)));
}

void Candidates::PutBack(Accumulation& accumulation) {
  accumulation.PutBack(std::span(indices_).first(size_), std::span(values_).first(size_));
}

uint32_t Candidates::Finish(uint32_t base, Accumulation& accumulation, Selection* out) {
  if (size_ >= k_) cut_ = FindCut(k_);
  std::ranges::sort(segments_, {}, &Segment::begin);
  for (const Segment& segment : segments_) {
    Part(segment, base, accumulation, [out](const Entries& kept, size_t count) {
      out->indices.insert(out->indices.end(), kept.indices, kept.indices + count);
      out->values.insert(out->values.end(), kept.values, kept.values + count);
    });
  }
  return cut_.magnitude;
}

// A sample of the magnitudes gives a bracket around the wanted one; what lies in it
// is ranked. Should the bracket miss it, all are.
Candidates::Cut Candidates::FindCut(size_t rank) {
  constexpr size_t kSample = 1024;
  constexpr double kDeviations = 4;
  const auto values = std::span<const float>(values_).first(size_);
  uint32_t low = 0;
  uint32_t high = kMagnitudeMask;
  if (size_ > 4 * kSample) {
    std::array<uint32_t, kSample> sample;
    for (size_t i = 0; i < kSample; ++i) sample[i] = Magnitude(values[i * size_ / kSample]);
    std::ranges::sort(sample, std::greater<>());
    const double share = static_cast<double>(rank) / static_cast<double>(size_);
    const double at = share * kSample;
    const double reach = kDeviations * std::sqrt(at * (1 - share)) + 1;
    if (at - reach >= 0) high = sample[static_cast<size_t>(at - reach)];
    if (at + reach < kSample) low = sample[static_cast<size_t>(at + reach)];
  }
  ranked_.resize(std::max(ranked_.size(), size_ + Entries::kPadding));
  Between between = CompactBetween(values, low, high, ranked_.data());
  if (between.above >= rank || between.above + between.within < rank) {
    between = CompactBetween(values, 0, kMagnitudeMask, ranked_.data());
  }
  const auto end = ranked_.begin() + static_cast<ptrdiff_t>(between.within);
  auto nth = ranked_.begin() + static_cast<ptrdiff_t>(rank - between.above - 1);
  std::nth_element(ranked_.begin(), nth, end, std::greater<>());
  const uint32_t magnitude = *nth;
  const size_t ties_kept = 1 + static_cast<size_t>(std::count(ranked_.begin(), nth, magnitude));
  if (std::find(nth + 1, end, magnitude) == end) return {magnitude, kAnyIndex};

  size_t ties = 0;
  for (size_t i = 0; i < size_; ++i) {
    ranked_[ties] = indices_[i];
    ties += Magnitude(values_[i]) == magnitude;
  }
  nth = ranked_.begin() + static_cast<ptrdiff_t>(ties_kept - 1);
  std::nth_element(ranked_.begin(), nth, ranked_.begin() + static_cast<ptrdiff_t>(ties));
  return {magnitude, *nth};
}

// Hands the entries of `segment` that the cut keeps to `sink`, batch by batch, and
// puts the others back.
template <typename Sink>
void Candidates::Part(const Segment& segment, uint32_t base, Accumulation& accumulation,
                      Sink sink) {
  constexpr size_t kBatch = 2048;
  kept_.Make(kBatch);
  dropped_.Make(kBatch);
  const Entries kept = kept_.entries();
  const Entries dropped = dropped_.entries();
  for (size_t begin = 0; begin < segment.count; begin += kBatch) {
    const size_t at = segment.at + begin;
    const size_t count = std::min(kBatch, segment.count - begin);
    const Entries entries{indices_.data() + at, values_.data() + at};
    size_t keep = 0;
    if (cut_.index == kAnyIndex) {
      keep = PartEntries(entries, count, cut_.magnitude, base, kept, dropped);
    } else {
      for (size_t i = 0; i < count; ++i) {
        const uint32_t index = entries.indices[i];
        const float value = entries.values[i];
        const uint32_t magnitude = Magnitude(value);
        if (magnitude > cut_.magnitude || (magnitude == cut_.magnitude && index <= cut_.index)) {
          kept.indices[keep] = base + index;
          kept.values[keep++] = value;
        } else {
          dropped.indices[i - keep] = index;
          dropped.values[i - keep] = value;
        }
      }
    }
    sink(kept, keep);
    accumulation.PutBack(std::span(dropped_.indices).first(count - keep),
                         std::span(dropped_.values).first(count - keep));
  }
}

// Puts back what is behind the cut in the segments from `first` on.
void Candidates::Drop(size_t first, Accumulation& accumulation) {
  size_ = segments_[first].at;
  for (Segment& segment : std::span(segments_).subspan(first)) {
    const size_t begin = size_;
    Part(segment, 0, accumulation, [this](const Entries& kept, size_t count) {
      std::copy_n(kept.indices, count, End().indices);
      std::copy_n(kept.values, count, End().values);
      size_ += count;
    });
    segment.at = begin;
    segment.count = size_ - begin;
  }
}

}  // namespace cddp

#include "core/candidates.h"

#include <algorithm>
#include <atomic>
#include <bit>
#include <cmath>
#include <functional>
#include <limits>
#include <numeric>

#include "core/sweep.h"

namespace cddp {
namespace {

constexpr size_t kChunk = Accumulation::kChunkElements;
constexpr size_t kMinSample = 4;  // chunks
constexpr uint32_t kAnyIndex = std::numeric_limits<uint32_t>::max();

constexpr size_t kBatch = 2048;  // entries parted at a time

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
  guessed_ = false;
  segments_.clear();
  room_.Make(2 * k + kChunk);
}

void Candidates::Gather(Pass pass, Accumulation& accumulation, WorkerPool& pool) {
  const size_t n = accumulation.size();
  chunks_ = (n + kChunk - 1) / kChunk;
  swept_chunks_ = 0;
  // A second pass must find k: it takes no chances.
  next_raise_ = pass == Pass::kFirst ? kMinSample : chunks_;
  const size_t stride = ChunkStride(chunks_);
  std::atomic<size_t> next = 0;
  const bool alone = pool.size() == 1 || chunks_ == 1;
  workspaces_.resize(static_cast<size_t>(pool.size()));
  for (Workspace& workspace : workspaces_) {
    workspace.kept.Make(kBatch);
    workspace.dropped.Make(kBatch);
    if (!alone) workspace.chunk.Make(kChunk);
  }
  const auto work = [&](int worker) {
    for (size_t i; (i = next.fetch_add(1, std::memory_order_relaxed)) < chunks_;) {
      const size_t begin = (i * stride % chunks_) * kChunk;
      const Entries entries = alone ? End() : workspaces_[static_cast<size_t>(worker)].chunk.At(0);
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
    next_raise_ *= 2;  // the last costs as much as all before
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
  guessed_ = true;
  Drop(0, accumulation);
}

// How many of the entries so far must be kept, judged by how many of each chunk
// reach `threshold`.
size_t Candidates::RankToKeep(uint32_t threshold) {
  constexpr double kDeviations = 5;
  double count = 0;
  double squares = 0;
  for (const Segment& segment : segments_) {
    const auto values = Values().subspan(segment.at, segment.count);
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
  accumulation.PutBack({room_.indices.data(), size_}, Values());
}

uint32_t Candidates::Finish(uint32_t base, Accumulation& accumulation, WorkerPool& pool,
                            Selection* out) {
  ranked_.Make(size_ + Entries::kPadding);
  if (size_ >= k_) cut_ = FindCut(k_);
  std::ranges::sort(segments_, {}, &Segment::begin);
  size_t end = out->size();
  for (Segment& segment : segments_) {
    segment.to = end;
    end += CountKept(segment);
  }
  out->indices.resize(end);
  out->values.resize(end);
  std::atomic<size_t> next = 0;
  const auto work = [&](int worker) {
    for (size_t s; (s = next.fetch_add(1, std::memory_order_relaxed)) < segments_.size();) {
      size_t to = segments_[s].to;
      Part(segments_[s], base, accumulation, workspaces_[static_cast<size_t>(worker)],
           [out, &to](const Entries& kept, size_t count) {
             std::copy_n(kept.indices, count, out->indices.data() + to);
             std::copy_n(kept.values, count, out->values.data() + to);
             to += count;
           });
    }
  };
  constexpr size_t kWorthWaking = 32768;  // entries; fewer take no longer than waking up
  if (size_ < kWorthWaking) {
    work(0);
  } else {
    pool.Run(work);
  }
  return cut_.magnitude;
}

// A sample of the magnitudes gives a bracket around the wanted one; what lies in it
// is ranked. Should the bracket miss it, all are.
Candidates::Cut Candidates::FindCut(size_t rank) {
  constexpr size_t kMaxSample = 16384;
  constexpr double kDeviations = 4;
  const std::span<const float> values = Values();
  uint32_t low = 0;
  uint32_t high = kMagnitudeMask;
  ranked_.Make(size_ + Entries::kPadding);
  uint32_t* const ranked = ranked_.data();
  if (const size_t sample = std::min(kMaxSample, size_ / 32); sample >= 128) {
    for (size_t i = 0; i < sample; ++i) ranked[i] = Magnitude(values[i * size_ / sample]);
    const double share = static_cast<double>(rank) / static_cast<double>(size_);
    const double at = share * static_cast<double>(sample);
    const double reach = kDeviations * std::sqrt(at * (1 - share)) + 1;
    uint32_t* begin = ranked;
    if (at - reach >= 0) {
      uint32_t* const nth = ranked + static_cast<size_t>(at - reach);
      std::nth_element(begin, nth, ranked + sample, std::greater<>());
      high = *nth;
      begin = nth;
    }
    if (at + reach < static_cast<double>(sample)) {
      uint32_t* const nth = ranked + static_cast<size_t>(at + reach);
      std::nth_element(begin, nth, ranked + sample, std::greater<>());
      low = *nth;
    }
  }
  Between between = CompactBetween(values, low, high, ranked);
  if (between.above >= rank || between.above + between.within < rank) {
    between = CompactBetween(values, 0, kMagnitudeMask, ranked);
  }
  uint32_t* const end = ranked + between.within;
  uint32_t* nth = ranked + (rank - between.above - 1);
  std::nth_element(ranked, nth, end, std::greater<>());
  const uint32_t magnitude = *nth;
  const auto ties = static_cast<size_t>(1 + std::count(ranked, nth, magnitude));
  if (std::find(nth + 1, end, magnitude) == end) return {magnitude, kAnyIndex};
  return {magnitude, IndexOfTie(magnitude, ties)};
}

// The index of the `rank`-th of those with this magnitude, from 1, in index order.
uint32_t Candidates::IndexOfTie(uint32_t magnitude, size_t rank) {
  std::vector<Segment> ordered = segments_;
  std::ranges::sort(ordered, {}, &Segment::begin);
  for (const Segment& segment : ordered) {
    const auto values = Values().subspan(segment.at, segment.count);
    const size_t ties = CompactBetween(values, magnitude, magnitude, ranked_.data()).within;
    if (rank > ties) {
      rank -= ties;
      continue;
    }
    for (size_t i = 0;; ++i) {
      rank -= Magnitude(values[i]) == magnitude;
      if (rank == 0) return room_.indices.data()[segment.at + i];
    }
  }
  return kAnyIndex;  // not reached: there are that many
}

// Entries of a segment are in index order: up to the cut's index they must reach its
// magnitude, from there on they must exceed it.
size_t Candidates::EntriesToCut(const Segment& segment) const {
  if (cut_.index == kAnyIndex) return segment.count;
  const std::span indices(room_.indices.data() + segment.at, segment.count);
  return static_cast<size_t>(std::ranges::upper_bound(indices, cut_.index) - indices.begin());
}

size_t Candidates::CountKept(const Segment& segment) {
  const auto values = Values().subspan(segment.at, segment.count);
  const size_t split = EntriesToCut(segment);
  const auto count = [&](std::span<const float> part, uint32_t least) {
    if (least > kMagnitudeMask) return size_t{0};
    const Between between = CompactBetween(part, least, least, ranked_.data());
    return between.above + between.within;
  };
  return count(values.first(split), cut_.magnitude) +
         count(values.subspan(split), cut_.magnitude + 1);
}

// Hands the entries of `segment` that the cut keeps to `sink`, batch by batch, and
// puts the others back.
template <typename Sink>
void Candidates::Part(const Segment& segment, uint32_t base, Accumulation& accumulation,
                      Workspace& workspace, Sink sink) const {
  const Entries kept = workspace.kept.At(0);
  const Entries dropped = workspace.dropped.At(0);
  const size_t split = EntriesToCut(segment);
  size_t count = 0;
  for (size_t at = 0; at < segment.count; at += count) {
    count = std::min(kBatch, (at < split ? split : segment.count) - at);
    const uint32_t least = at < split ? cut_.magnitude : cut_.magnitude + 1;
    const size_t keep = PartEntries(room_.At(segment.at + at), count, least, base, kept, dropped);
    sink(kept, keep);
    accumulation.PutBack({dropped.indices, count - keep}, {dropped.values, count - keep});
  }
}

// Puts back what is behind the cut in the segments from `first` on.
void Candidates::Drop(size_t first, Accumulation& accumulation) {
  size_ = segments_[first].at;
  for (Segment& segment : std::span(segments_).subspan(first)) {
    const size_t begin = size_;
    Part(segment, 0, accumulation, workspaces_[0], [this](const Entries& kept, size_t count) {
      std::copy_n(kept.indices, count, End().indices);
      std::copy_n(kept.values, count, End().values);
      size_ += count;
    });
    segment.at = begin;
    segment.count = size_ - begin;
  }
}

}  // namespace cddp

// Candidates: the entries that may be among the k largest of a parameter, as its
// chunks are swept.
//
// Chunks come in any order. When there are more than fit, only the k largest so
// far are kept, and the threshold rises to the smallest of them: so the space is
// bounded (2k entries and one chunk) and the k largest are exact, whatever the
// first threshold was, provided that at least k entries reached it.
//
// The chunks are swept in an order that has nothing to do with the values, so those
// swept so far are a sample of all: it tells early how far the threshold may rise
// without losing one of the k largest, and even with a first threshold of zero only
// about k (1 + ln(n/k)) entries come in.
//
// One thread at a time, which may have a pool work for it. What comes out does not
// depend on the number of workers.
#pragma once

#include <cstdint>
#include <mutex>
#include <span>
#include <vector>

#include "cddp/accumulation.h"
#include "cddp/selection.h"
#include "core/scratch.h"
#include "core/worker_pool.h"

namespace cddp {

class Candidates {
 public:
  // Starts over, for the k largest (k >= 1) of those that reach `threshold`.
  void Begin(size_t k, uint32_t threshold);

  // Sweeps all chunks of `accumulation` and takes in what is a candidate. Entries
  // that cannot be among the k largest any more are put back. A first pass may end
  // with fewer than k though more reach the threshold: it is then to be repeated.
  void Gather(Pass pass, Accumulation& accumulation, WorkerPool& pool);

  size_t size() const { return size_; }

  // Whether a first pass has raised the threshold by what a sample told: only then may
  // entries that reach the first threshold be missing though there are fewer than k.
  bool guessed() const { return guessed_; }

  // Puts all entries back.
  void PutBack(Accumulation& accumulation);

  // Appends the k largest, ties to the lowest index, to *out in index order, with
  // `base` added to the indices; the others are put back. With fewer than k, all.
  // Returns the magnitude of the smallest of k. `pool` is the one of Gather.
  uint32_t Finish(uint32_t base, Accumulation& accumulation, WorkerPool& pool, Selection* out);

 private:
  // Entries of one chunk, at [at, at + count) of the arrays.
  struct Segment {
    size_t begin;
    size_t at;
    size_t count;
    size_t to = 0;  // where what is kept of it goes
  };
  // The last entry of a ranking by magnitude, ties by lower index.
  struct Cut {
    uint32_t magnitude;
    uint32_t index;
  };

  struct Room {
    void Make(size_t entries) {
      indices.Make(entries + Entries::kPadding);
      values.Make(entries + Entries::kPadding);
    }
    Entries At(size_t entry) const { return {indices.data() + entry, values.data() + entry}; }

    Scratch<uint32_t> indices;
    Scratch<float> values;
  };

  // A worker's own.
  struct Workspace {
    Room chunk;          // entries of the chunk being swept, when there are several workers
    Room kept, dropped;  // of a batch of entries
  };

  // Where the next entries go.
  Entries End() const { return room_.At(size_); }
  std::span<const float> Values() const { return {room_.values.data(), size_}; }
  uint32_t Threshold(size_t begin);
  uint32_t ThresholdOfCut(size_t begin) const;
  void Append(size_t begin, uint32_t threshold, const Entries& entries, size_t count,
              Accumulation& accumulation);
  void RaiseThreshold(Accumulation& accumulation);
  size_t RankToKeep(uint32_t threshold);
  Cut FindCut(size_t rank);
  uint32_t IndexOfTie(uint32_t magnitude, size_t rank);
  size_t EntriesToCut(const Segment& segment) const;
  size_t CountKept(const Segment& segment);
  template <typename Sink>
  void Part(const Segment& segment, uint32_t base, Accumulation& accumulation, Workspace& workspace,
            Sink sink) const;
  void Drop(size_t first, Accumulation& accumulation);

  std::mutex mutex_;
  size_t k_ = 1;
  Cut cut_{};  // entries behind it are no candidates
  size_t chunks_ = 0;
  size_t swept_chunks_ = 0;
  size_t next_raise_ = 0;  // swept chunks at which the threshold is looked at
  size_t size_ = 0;
  bool guessed_ = false;
  Room room_;
  std::vector<Segment> segments_;
  Scratch<uint32_t> ranked_;           // magnitudes
  std::vector<Workspace> workspaces_;  // one for each worker
};

}  // namespace cddp

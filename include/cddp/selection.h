// Selection: which entries of an accumulated gradient are sent.
//
// Magnitudes are compared as the bits of |v| (a total order: 0 < denormals <
// normals < Inf < NaN), so every target and every thread count gives the same
// answer. Callers keep non-finite values out (see memory.h); should one come,
// it counts as the largest.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "cddp/accumulation.h"
#include "cddp/status.h"

namespace cddp {

// Selected entries, indices strictly ascending. indices[i] goes with values[i].
struct Selection {
  std::vector<uint32_t> indices;
  std::vector<float> values;

  size_t size() const { return indices.size(); }
  void Clear() {
    indices.clear();
    values.clear();
  }
};

// Ok when 0 < ratio <= 1 (NaN is not).
Status ValidateRatio(double ratio);

// k = max(1, ceil(ratio * elements)), at most `elements`; 0 for no elements.
// A product within 1e-9 (relative) of an integer counts as that integer, so that
// 0.07 of 100, in floating point a little over 7, is 7.
size_t SelectionCount(size_t elements, double ratio);

// A rule that takes entries out of a parameter's accumulated gradient.
//
// Deterministic: the same values give the same entries, whatever the number of
// threads. Implementations keep state between calls (scratch memory, thresholds):
// one object per rank; not thread safe.
class Selector {
 public:
  virtual ~Selector() = default;
  virtual std::string_view name() const = 0;

  // Takes min(k, n) of the n elements of `accumulation`, of which nothing has
  // been swept yet, and appends them to *out in index order, with `base` added to
  // each index. Every element has been swept when it returns. Requires
  // base + n <= 2^32.
  // What topk learns about `parameter` serves its next step, for an empty name it
  // keeps nothing; randomk counts the draws of each name.
  virtual void Select(std::string_view parameter, Accumulation& accumulation, size_t k,
                      uint32_t base, Selection* out) = 0;

  // The same for values without a memory, which stay as they are.
  void Select(std::span<const float> values, size_t k, uint32_t base, Selection* out);

  // What later selections depend on besides the values: of randomk the draws by
  // parameter, of the others nothing.
  using State = std::map<std::string, uint64_t>;
  virtual State Save() const { return {}; }
  virtual void Load(const State&) {}

  // Parameters selected from, and those that a second sweep was needed for.
  uint64_t calls() const { return calls_; }
  uint64_t second_sweeps() const { return second_sweeps_; }

 protected:
  // Takes the elements at `indices` (ascending) and appends them to *out.
  static void Take(Accumulation& accumulation, std::span<const uint32_t> indices, uint32_t base,
                   Selection* out);

  uint64_t calls_ = 0;
  uint64_t second_sweeps_ = 0;
};

struct SelectorOptions {
  std::string name = "topk";  // topk, randomk, threshold or block
  int threads = 1;            // that sweep a large parameter (topk)
  uint64_t seed = 1;          // of randomk; the same on all ranks
  double threshold = 0.001;   // of threshold: the smallest magnitude that is sent, > 0
  size_t block = 64;          // of block: elements in a block, >= 1
};

// Exact Top-K: the k largest magnitudes, ties to the lowest index (Aji & Heafield,
// EMNLP 2017; Lin et al., ICLR 2018). One sweep, with the threshold that the
// parameter's last step suggests (a sample of the values where there is none); a
// second one when fewer than k entries reached it.
// Extra memory: 12 bytes for each of 2k candidates, 1 byte for each 1024 elements, and
// less than 1 MiB with one thread or two; about 0.3 MiB for each further one.
std::unique_ptr<Selector> MakeTopKSelector(int threads = 1);

// k elements at random, each as likely as any other (Stich et al., NeurIPS 2018).
std::unique_ptr<Selector> MakeRandomKSelector(uint64_t seed);

// All elements whose magnitude is at least `threshold`, if they are more than k
// the k largest of them: here fewer than k may be taken (Strom, Interspeech 2015).
std::unique_ptr<Selector> MakeThresholdSelector(double threshold);

// Whole blocks of `block` consecutive elements, those of the largest L2 norm, ties
// to the lowest index; the last block is cut so that there are k elements.
std::unique_ptr<Selector> MakeBlockSelector(size_t block);

// Names of all selectors.
std::vector<std::string> SelectorNames();

// The selector that the options name. InvalidArgument lists the names or names the option that
// is out of range; Unavailable: its threads could not be started.
Status MakeSelector(const SelectorOptions& options, std::unique_ptr<Selector>* selector);

}  // namespace cddp

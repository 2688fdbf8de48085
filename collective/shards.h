// Shards: which rank owns which elements of a bucket.
//
// A parameter is cut into blocks of kOwnerBlock consecutive elements, which are dealt to
// the ranks in turn, beginning with one that follows from the parameter's name: so an
// element has the same owner in whatever bucket its parameter comes, every owner has
// nearly equally many, and small parameters do not all go to the first.
//
// An owner's shard of a bucket is its elements in a row, parameter by parameter, as if
// they were a bucket of their own.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "cddp/bucket.h"
#include "cddp/selection.h"

namespace cddp {

// Smaller blocks make many small runs, each with scales and codes of its own: with 64
// elements, 7% of the bytes at 64 ranks.
inline constexpr uint32_t kOwnerBlock = 16384;

class Shards {
 public:
  // Requires world_size >= 1.
  Shards(const Bucket& bucket, int world_size);

  // True for a bucket of the same parameters in the same places.
  bool IsOf(const Bucket& bucket) const;

  // Parameters of the shard, with their names, in the bucket's order; those of which the
  // owner has nothing have a count of 0.
  std::span<const BucketParameter> Layout(int owner) const;
  uint32_t elements(int owner) const;

  // The draw of OwnerShares for a parameter of the bucket in a step: spread evenly over the
  // steps (by the golden ratio, Weyl 1916), and not the same for all parameters.
  uint32_t Draw(size_t parameter, uint64_t step) const;

  // Deals out the entries of a bucket, whose indices ascend: parts[o] gets those of owner
  // o, with indices in its shard, and run_ends[o] where each parameter's end.
  void Deal(const Selection& entries, std::vector<Selection>* parts,
            std::vector<std::vector<size_t>>* run_ends) const;

  // Takes the parts' values back into the entries that were dealt out.
  void Collect(const std::vector<Selection>& parts, Selection* entries) const;

  // Indices in the owner's shard, which ascend, become those in the bucket: they ascend too.
  void ToBucket(int owner, std::span<uint32_t> indices) const;

  // What the owner keeps of a parameter, one value for each element that it owns, back in its place
  // in the parameter; zero elsewhere.
  std::vector<float> Spread(int owner, size_t parameter, std::span<const float> kept) const;

 private:
  template <typename Visit>
  void ForStretches(std::span<const uint32_t> indices, Visit visit) const;

  size_t world_size_;
  std::vector<BucketParameter> parameters_;
  std::vector<uint32_t> hashes_;                      // of the parameters' names
  std::vector<uint32_t> first_owner_;                 // of each parameter's first block
  std::vector<std::vector<BucketParameter>> layout_;  // by owner
};

// How many of `budget` entries of a parameter each owner may send on, when owner o has
// elements[o] of it: its exact share in proportion, rounded down or up so that the shares add
// up to the budget (or to all there is), at most as many as it has. Which owners are rounded
// up depends on `draw` (systematic sampling, Madow 1949): over draws that are spread evenly
// the mean is the exact share. With the same owners rounded up in every step, what one owns
// whose share is below 1 would never be sent.
std::vector<size_t> OwnerShares(size_t budget, std::span<const uint32_t> elements, uint32_t draw);

}  // namespace cddp

// Memories of a group of ranks, for one of another size that goes on with its training.
//
// What P ranks keep is owed to the parameters, which get the mean over the ranks. So each
// of the P' new ranks begins with
//
//   1/P * sum over the old ranks of (own memory + what the rank kept as an owner)
//
// and 1/P' * sum over the new ranks is what 1/P * sum over the old ones was: the mean of
// all that is still to be applied does not change, nor does the mean velocity of `dgc`.
// Sums are in double, in rank order: every new rank computes the same bits.
//
// The same serves a group of the same size of which nobody is an owner any more.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "cddp/memory.h"
#include "cddp/status.h"

namespace cddp {

class MemoryMean {
 public:
  // Of `ranks` ranks with memories of this name; parameters: name -> elements.
  MemoryMean(int ranks, std::string_view memory, std::map<std::string, uint32_t> parameters);

  // A rank's memory and what it kept as an owner (split; else empty). Once for each rank,
  // in order. InvalidArgument when a state is not of these parameters.
  Status Add(const MemoryState& own, const MemoryState& owner);

  // For Memory::Load of every new rank; without parameters of which nobody kept anything.
  MemoryState Mean() const;

 private:
  Status AddOwner(const std::string& parameter, const std::vector<float>& kept);

  const int ranks_;
  const std::string memory_;
  const std::map<std::string, uint32_t> parameters_;
  std::map<std::string, std::vector<double>> sums_;
  int added_ = 0;
};

}  // namespace cddp

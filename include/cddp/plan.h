// Plan: which way each bucket goes, and from which step on.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "cddp/status.h"

namespace cddp {

// The ways of a bucket. The numbers are those that rank 0 sends.
enum class Way : uint8_t { kDense = 0, kGather = 1, kSplit = 2 };

inline constexpr size_t kWays = 3;

std::vector<std::string> WayNames();
std::string_view WayName(Way way);
// InvalidArgument for an unknown name, with those that are known.
Status ParseWay(std::string_view name, Way* way);

struct PlanChange {
  uint64_t step = 0;      // the first that it holds for
  std::vector<Way> ways;  // by bucket
};

// The same plan, seeds and number of ranks give the same bytes.
struct Plan {
  int world_size = 0;
  Way first = Way::kDense;          // of all buckets, until the first change
  std::vector<uint32_t> elements;   // of each bucket; empty until the first change
  std::vector<PlanChange> changes;  // steps ascending, each with a way for every bucket
};

}  // namespace cddp

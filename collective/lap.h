// Lap: the time that a block takes.
#pragma once

#include <chrono>

namespace cddp {

// Adds the time from here to the end of the block.
class Lap {
 public:
  explicit Lap(std::chrono::nanoseconds* total) : total_(total) {}
  ~Lap() { *total_ += std::chrono::steady_clock::now() - start_; }
  Lap(const Lap&) = delete;
  Lap& operator=(const Lap&) = delete;

 private:
  std::chrono::nanoseconds* total_;
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

}  // namespace cddp

// Accumulation: one parameter's gradient of this step plus its memory, element
// by element, computed as it is swept.
//
// Selection takes entries out of it; what is not taken out stays and becomes the
// memory. So one sweep accumulates, selects and clears (design of the fused
// kernel: core/sweep.h).
//
// Values are swept in chunks, each of which starts at a multiple of
// kChunkElements. Different threads may sweep different chunks, and put back elements of
// chunks that were swept, at the same time; nothing else here is thread safe.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>

namespace cddp {

// Room for entries. A sweep of n elements may write n + kPadding of each.
struct Entries {
  static constexpr size_t kPadding = 64;
  uint32_t* indices;
  float* values;
};

// What a sweep found.
struct Swept {
  size_t taken = 0;
  uint32_t largest = 0;  // magnitude bits; those of infinity or more: something is not finite

  bool finite() const { return largest < 0x7f800000u; }
};

enum class Pass {
  kFirst,  // computes the accumulated values: once for each chunk
  kAgain,  // looks at them again, after they were put back
};

class Accumulation {
 public:
  static constexpr size_t kChunkElements = 32768;

  virtual ~Accumulation() = default;

  size_t size() const { return gradient_.size(); }

  // True while no chunk that was swept had a NaN or Inf: with one, the step must
  // be voided.
  bool finite() const { return finite_.load(std::memory_order_relaxed); }

  // Takes out each element of [begin, begin + count) whose magnitude bits are at
  // least `threshold` (see selection.h): appends index and value to `out`, in
  // index order.
  Swept Sweep(Pass pass, size_t begin, size_t count, uint32_t threshold, Entries out);

  // The accumulated values, for selectors that need to see all before they
  // choose. Sweeps all, unless that was done; nothing may have been taken out.
  std::span<const float> Values();

  // Takes out the elements at `indices`; their values go to `values`.
  virtual void TakeOut(std::span<const uint32_t> indices, float* values) = 0;

  // Takes out all elements of a parameter that goes whole.
  virtual void TakeAll(float* values) = 0;

  // Gives back elements that were taken out and are not sent after all.
  virtual void PutBack(std::span<const uint32_t> indices, std::span<const float> values) = 0;

  // The accumulated value at `i`, for a look ahead of the sweep.
  virtual float Peek(size_t i) const = 0;

 protected:
  void Begin(std::span<const float> gradient) {
    gradient_ = gradient;
    finite_ = true;
    swept_ = 0;
  }

  std::span<const float> gradient_;

 private:
  virtual Swept DoSweep(Pass pass, size_t begin, size_t count, uint32_t threshold, Entries out) = 0;
  virtual std::span<const float> SweptValues() const = 0;

  std::atomic<bool> finite_ = true;
  std::atomic<size_t> swept_ = 0;  // elements, in the first pass
};

}  // namespace cddp

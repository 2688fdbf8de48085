// Error feedback: what a worker did not send is kept and added to its next
// gradient (Stich et al. 2018; Karimireddy et al. 2019, Algorithm 1).
//
// The memory law holds per element in every step, after rounding of the sum:
//
//   accumulated = gradient + memory_old
//   accumulated == decode(frame sent) + memory_new
//
// The decoded values are subtracted, not the selected ones: what a value codec
// rounds away stays in the memory.
//
// A step commits or voids whole. Accumulate and Subtract write the new state
// beside the old one; Commit swaps them, Void drops the new one and leaves the
// old one bit-identical to what it was.
//
// State is keyed by parameter name: a DDP engine may regroup its buckets at any
// time. One object per rank; not thread safe.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "cddp/status.h"

namespace cddp {

// Saved state: parameter name -> one float per element.
using MemoryState = std::map<std::string, std::vector<float>>;

// What Accumulate gives: a view that stays valid until the step ends.
struct Accumulated {
  std::span<const float> values;
  bool finite = true;  // false: some element is NaN or Inf; the step must be voided
};

class Memory {
 public:
  virtual ~Memory() = default;
  virtual std::string_view name() const = 0;

  // Adds the parameter's memory to `gradient`, in one sweep that also looks for
  // non-finite results. A parameter seen for the first time starts from zero.
  // Once per parameter and step. InvalidArgument when the number of elements is
  // not that of earlier steps. `gradient` must outlive the step.
  virtual Status Accumulate(std::string_view parameter, std::span<const float> gradient,
                            Accumulated* accumulated) = 0;

  // Takes what was sent out of the memory: `decoded[i]` at element
  // `indices[i] - base` of `parameter`, which was accumulated in this step.
  virtual void Subtract(std::string_view parameter, uint32_t base,
                        std::span<const uint32_t> indices, std::span<const float> decoded) = 0;

  // Ends the step: every rank calls the same one.
  virtual void Commit() = 0;
  virtual void Void() = 0;

  // State between steps. Load refuses a state with other names or sizes than the
  // parameters known here (if any are) and lists what differs.
  virtual MemoryState Save() const = 0;
  virtual Status Load(const MemoryState& state) = 0;
  virtual void Reset() = 0;

  // Memory used by the state, in bytes per element of a parameter.
  virtual size_t BytesPerElement() const = 0;
};

// Keeps nothing: what is not selected is lost. 0 bytes per element.
std::unique_ptr<Memory> MakeNoMemory();

// Keeps the residual in float32. 8 bytes per element (old and new).
std::unique_ptr<Memory> MakeResidualMemory();

// The memory called `name` ("none", "residual"), or InvalidArgument that lists the names.
Status MakeMemory(std::string_view name, std::unique_ptr<Memory>* memory);

}  // namespace cddp

// Error feedback: what a worker did not send is kept and added to its next
// gradient (Stich et al. 2018; Karimireddy et al. 2019, Algorithm 1), with
// momentum correction if wanted (Lin et al. 2018).
//
// The memory law holds per element in every step, after rounding of the sum:
//
//   accumulated = update + memory_old
//   accumulated == decode(frame sent) + memory_new
//
// where the update is the gradient (residual) or the velocity (dgc). The decoded
// values leave the memory, not the selected ones: what a value codec rounds away
// stays in it.
//
// A step: Accumulate, then a selector takes entries out (accumulation.h), then
// Settle says what of them was really sent; Commit or Void ends it for all
// parameters. It commits or voids whole: the new state is written beside the old
// one; Commit swaps them, Void drops the new one and leaves the old one
// bit-identical to what it was.
//
// State is keyed by parameter name: a DDP engine may regroup its buckets at any
// time. One object per rank; not thread safe, but for the sweeps of one
// accumulation.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "cddp/accumulation.h"
#include "cddp/status.h"

namespace cddp {

// Saved state: a key -> one float per element. A key is a parameter's name and a part's
// behind it.
using MemoryState = std::map<std::string, std::vector<float>>;

// The parts that the memory of this name saves of each parameter, the residual first: of
// `residual` "", of `dgc` "/residual" and "/velocity", of `none` no part.
std::span<const std::string_view> MemoryParts(std::string_view memory);

struct MemoryKey {
  std::string parameter;
  size_t part = 0;  // index in MemoryParts
};
// Nothing where the key is of none of the memory's parts.
std::optional<MemoryKey> ParseMemoryKey(std::string_view memory, std::string_view key);

using NormByParameter = std::map<std::string, double, std::less<>>;

// The L2 norm of all of them together.
double NormOf(const NormByParameter& norms);

class Memory {
 public:
  virtual ~Memory() = default;
  virtual std::string_view name() const = 0;

  // Starts the parameter's step; *accumulation stays valid until the step ends. A
  // parameter seen for the first time starts from zero. Once per parameter and
  // step. InvalidArgument when the number of elements is not that of earlier
  // steps. `gradient` must stay until the parameter's entries are taken out.
  virtual Status Accumulate(std::string_view parameter, std::span<const float> gradient,
                            Accumulation** accumulation) = 0;

  // For a step in which the whole parameter is sent without loss (a dense one): adds to
  // `values`, the gradient, all that the memory keeps for it; what is then left is what is
  // left of a parameter that goes whole. Instead of Accumulate.
  virtual Status AccumulateAll(std::string_view parameter, std::span<float> values) = 0;

  // For what was taken out of `parameter`: element indices[i] - base was taken
  // with the value taken[i], receivers decode decoded[i]; the difference stays in
  // the memory.
  virtual void Settle(std::string_view parameter, uint32_t base, std::span<const uint32_t> indices,
                      std::span<const float> taken, std::span<const float> decoded) = 0;

  // Ends the step: every rank calls the same one.
  virtual void Commit() = 0;
  virtual void Void() = 0;

  // Adds `residual`, one float for each element, to what is kept of the parameter; one that
  // is not known yet starts from zero. Between steps. `none` drops it.
  virtual Status Add(std::string_view parameter, std::span<const float> residual) = 0;
  // Takes out what is kept of the parameter (its residual; momentum stays), or nothing, if
  // it is not known. Between steps.
  virtual std::vector<float> TakeResidual(std::string_view parameter) = 0;

  // State between steps. Load refuses a state with other names or sizes than the
  // parameters known here (if any are), lists what differs, and refuses what is not finite.
  virtual MemoryState Save() const = 0;
  virtual Status Load(const MemoryState& state) = 0;

  // L2 norms of the parameters' residuals, between steps. One pass over them.
  virtual NormByParameter ResidualNorms() const = 0;
};

struct MemoryOptions {
  std::string name = "residual";  // none, residual or dgc
  // The rest is for dgc.
  double momentum = 0.9;          // in [0, 1)
  bool nesterov = false;          // as torch.optim.SGD(nesterov=True)
  double clip_norm = 0.0;         // > 0: largest L2 norm of a parameter's gradient on a rank
  bool momentum_masking = false;  // section 3.2 of the paper
};

// Keeps nothing: what is not selected is lost. 0 bytes per element.
std::unique_ptr<Memory> MakeNoMemory();

// Keeps the residual in float32. 8 bytes per element (old and new).
std::unique_ptr<Memory> MakeResidualMemory();

// Deep Gradient Compression (Lin et al., ICLR 2018, Algorithm 1 and section 3):
//
//   velocity = momentum * velocity + gradient      (the gradient includes weight decay)
//   accumulated = residual + velocity              (Nesterov: momentum * velocity + gradient)
//
// Where an entry is sent, the residual becomes zero, and with momentum_masking the
// velocity as well (momentum factor masking), against momentum that is old when it
// arrives: good for accuracy when entries wait long (small ratios), bad otherwise
// (results/split_study). A parameter that goes whole
// keeps its velocity: so with everything sent it is momentum SGD. The optimiser then
// runs without momentum and weight decay. With clip_norm, a parameter's gradient of a larger norm
// is scaled down before it is accumulated. 16 bytes per element (residual and velocity, old and
// new).
std::unique_ptr<Memory> MakeDgcMemory(const MemoryOptions& options);

// Names of all memories.
std::vector<std::string> MemoryNames();

// The memory that the options name, or InvalidArgument that lists the names or
// names the option that is out of range.
Status MakeMemory(const MemoryOptions& options, std::unique_ptr<Memory>* memory);

}  // namespace cddp

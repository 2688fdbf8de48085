// Collectives: how the ranks' gradients become their mean.
//
// Replicas stay bit-identical: every rank adds the same bytes in rank order.
//
// A step commits or voids whole (see memory.h). When any rank's gradient is not
// finite, every rank finds NaN in the affected bucket, EndStep tells so on every
// rank, and the memories are as if the step had not been.
//
// One object per rank. AllReduceMean is called for the same buckets in the same
// order on every rank, from one thread at a time; EndStep once all buckets of
// the step are done.
#pragma once

#include <memory>
#include <string_view>

#include "cddp/bucket.h"
#include "cddp/compressor.h"
#include "cddp/status.h"
#include "cddp/transport.h"

namespace cddp {

enum class StepOutcome { kCommitted, kVoid };

class Collective {
 public:
  virtual ~Collective() = default;
  virtual std::string_view name() const = 0;

  // Replaces bucket.values by the mean over the ranks of what they sent.
  // After an error the group cannot be used any more.
  virtual Status AllReduceMean(const Bucket& bucket) = 0;

  virtual StepOutcome EndStep() = 0;

  // The compressor of this rank, or null where nothing is compressed.
  virtual Compressor* compressor() { return nullptr; }

  // What this rank keeps as an owner of others' entries (split), or null.
  virtual Memory* owner_memory() { return nullptr; }
};

// The transport's own allreduce, divided by the number of ranks.
// Bytes sent per rank: 2(P-1)/P * 4N with a ring. `transport` must outlive it.
std::unique_ptr<Collective> MakeDenseCollective(Transport* transport);

// Every rank's frame to every rank, summed in rank order (sparse allgather).
// Bytes sent per rank: (P-1) frames. `transport` must outlive it.
std::unique_ptr<Collective> MakeGatherCollective(Transport* transport,
                                                 std::unique_ptr<Compressor> compressor);

// Every rank's entries to the elements' owners, which add them up and send the largest
// on to every rank (collective/split.cc). `owner_budget`: how many entries the owners
// send on together, as a multiple of what one rank sends; infinity: all that they got.
// Bytes sent per rank: about (1 + owner_budget) (P-1)/P frames. InvalidArgument for a
// budget that is not above 0, or options that Compressor::Create refuses. `transport`
// must outlive it.
Status MakeSplitCollective(Transport* transport, const CompressorOptions& options,
                           double owner_budget, std::unique_ptr<Collective>* collective);

}  // namespace cddp

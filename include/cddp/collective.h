// Collectives: how the ranks' gradients become their mean.
//
// Replicas stay bit-identical: every rank adds the same bytes in rank order.
//
// A step commits or voids whole (see memory.h). When any rank's gradient is not
// finite, every rank finds something that is not finite in the affected bucket, EndStep tells so on
// every rank, and the memories are as if the step had not been.
//
// One object per rank. A bucket takes two stages, so that the next one can be selected
// while it is on the wire (pipeline.h):
//
//   BeginStep(step)                    once, before the step's first bucket
//   Prepare(bucket), Exchange(bucket)  for each bucket
//   EndStep()                          once all buckets of the step are done
//
// BeginStep and Exchange are collective: every rank makes the same calls in the same
// order, one thread at a time. Prepare talks to nobody; it is called in the order of
// Exchange, and may run ahead of it on another thread, by whole buckets.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "cddp/bucket.h"
#include "cddp/compressor.h"
#include "cddp/plan.h"
#include "cddp/status.h"
#include "cddp/transport.h"

namespace cddp {

enum class StepOutcome { kCommitted, kVoid };

// Where the time went since the start; stages that overlap both count.
struct CollectiveTimes {
  std::chrono::nanoseconds select{0};    // sweeps and selection, the owners' included
  std::chrono::nanoseconds encode{0};    // frames, and what they round away
  std::chrono::nanoseconds exchange{0};  // the transport, waiting for others included
  std::chrono::nanoseconds decode{0};    // validation, decoding; an owner's sum
  std::chrono::nanoseconds apply{0};     // the mean into the bucket

  CollectiveTimes& operator+=(const CollectiveTimes& other);
};

class Collective {
 public:
  virtual ~Collective() = default;
  virtual std::string_view name() const = 0;

  // Agreements between the ranks that a step may begin with. Called again in the same
  // step it does nothing.
  virtual Status BeginStep(uint64_t step) = 0;

  // Takes out of bucket.values what this rank sends; what they hold until Exchange is
  // unspecified.
  virtual Status Prepare(const Bucket& bucket) = 0;

  // Replaces bucket.values by the mean over the ranks of what they sent.
  virtual Status Exchange(const Bucket& bucket) = 0;

  // All of it for one bucket. After an error of this or any stage the group cannot be
  // used any more.
  Status AllReduceMean(const Bucket& bucket);

  virtual StepOutcome EndStep() = 0;

  // Whether bucket.values are to be in a device's memory, not the host's.
  virtual bool on_device() const { return false; }

  // Whether all that BeginStep, Prepare and Exchange do is to enqueue work on the calling thread's
  // current stream of that device: they are then called where gradients are made, and only EndStep
  // waits for the device.
  virtual bool enqueues() const { return false; }

  // This rank's compressor, or null where nothing is compressed. Its state and that of
  // owner_memory() are what waits to be sent: a checkpoint needs both.
  virtual Compression* compression() { return compressor(); }
  // The same where gradients are in the host's memory, or null: for who looks into it.
  virtual Compressor* compressor() { return nullptr; }

  // What this rank keeps as an owner of others' entries (split), or null.
  virtual Memory* owner_memory() { return nullptr; }

  // Between steps.
  virtual CollectiveTimes times() const { return {}; }

  // What `auto` has decided so far, or null; the same on every rank.
  virtual const Plan* plan() const { return nullptr; }

  // False while `auto` still tries plans. The same on every rank.
  virtual bool settled() const { return true; }
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
// send on together, as a multiple of what one rank sends; infinity: all that they got,
// which with fp32 values is the sum that gather computes.
// Bytes sent per rank: about (1 + owner_budget) (P-1)/P frames. InvalidArgument for a
// budget that is not above 0, or options that Compressor::Create refuses. `transport`
// must outlive it.
Status MakeSplitCollective(Transport* transport, const CompressorOptions& options,
                           double owner_budget, std::unique_ptr<Collective>* collective);

struct AutoOptions {
  CompressorOptions compression;
  double owner_budget = 1;  // of split
  // A plan that an earlier run has made: nothing is measured, its steps are repeated.
  const Plan* frozen = nullptr;
  // Or one that the run that goes on here had made so far: its last decision holds for the
  // first step, those to come are added to it.
  const Plan* begun = nullptr;
  // Called on rank 0 with what was measured and decided, in lines for a person.
  std::function<void(const std::string&)> log;
};

// Of plans, which say dense, gather or split for each bucket, the one that makes steps shortest
// here: measures the network and this machine (some seconds at most; collective), predicts by
// the model of docs/algorithms.md, tries the plans that are predicted to be near the best for
// some steps each, and stays with the fastest until steps take a quarter more or less time
// than then. Rank 0 decides and tells the others. What a bucket's memories hold when it
// goes dense is in the next mean. InvalidArgument as above, or for a given plan that is
// not of this number of ranks. `transport` must outlive it.
Status MakeAutoCollective(Transport* transport, const AutoOptions& options,
                          std::unique_ptr<Collective>* collective);

}  // namespace cddp

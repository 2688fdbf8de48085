// Pipeline: the buckets of a step through a Collective, in two stages on two threads.
// While a bucket is exchanged, the next ones are selected and encoded.
//
// One thread calls BeginStep and Exchange, in the order in which buckets were submitted:
// the same on every rank, whatever the timing. Prepare runs ahead of it in that order.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "cddp/collective.h"

namespace cddp {

struct PipelineJob {
  Bucket bucket;                            // its parameters are those below
  std::vector<BucketParameter> parameters;  // kept until `done`
  // Called before the bucket is prepared, on its thread; may be empty. May throw.
  std::function<void()> before;
  // Called once the bucket is done or has failed, on a thread of the pipeline. After the
  // first error all later buckets fail alike. Must not throw.
  std::function<void(const Status&)> done;
};

class Pipeline {
 public:
  // `collective` must outlive the pipeline.
  explicit Pipeline(Collective* collective);

  // Ends what was submitted first.
  ~Pipeline();

  // Never blocks. Any thread.
  void Submit(PipelineJob job);
  // Begins a step ahead of its first bucket: ranks agree while gradients are still computed.
  // Otherwise that bucket begins it. Never blocks. Any thread.
  void Begin(uint64_t step);

  // Makes every later bucket fail with this error, unless there was one already.
  void Fail(const Status& status);

  // The first error.
  Status status() const;

 private:
  struct Item {
    std::unique_ptr<PipelineJob> job;  // null: the step begins
    uint64_t step = 0;
  };
  void PrepareLoop();
  void ExchangeLoop();
  // Runs `work` unless there was an error; keeps its error.
  Status Guarded(const std::string& what, const std::function<Status()>& work);
  void BeginStep(uint64_t step);
  void Enqueue(std::unique_ptr<PipelineJob> job, uint64_t step);
  void Stop();

  Collective* collective_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Item> submitted_;
  std::deque<Item> prepared_;
  bool stop_ = false;             // nothing more is submitted
  bool all_prepared_ = false;     // and nothing more is prepared
  std::optional<uint64_t> step_;  // of the last BeginStep that has ended
  Status status_;
  std::thread prepare_thread_;
  std::thread exchange_thread_;
};

}  // namespace cddp

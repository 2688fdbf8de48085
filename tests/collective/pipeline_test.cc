// The pipeline: order, overlap, errors.
#include "cddp/pipeline.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <stdexcept>

#include "tests/core/owned_bucket.h"

namespace cddp {
namespace {

// Notes what is called; `on_call` may block, fail or throw.
class NotingCollective final : public Collective {
 public:
  std::function<Status(const std::string&)> on_call = [](const std::string&) {
    return Status::Ok();
  };

  std::string_view name() const override { return "noting"; }
  Status BeginStep(uint64_t step) override { return Note("begin", step, 0); }
  Status Prepare(const Bucket& b) override { return Note("prepare", b.step, b.index); }
  Status Exchange(const Bucket& b) override { return Note("exchange", b.step, b.index); }
  StepOutcome EndStep() override { return StepOutcome::kCommitted; }

  std::vector<std::string> calls() const {
    const std::lock_guard lock(mutex_);
    return calls_;
  }
  bool WaitFor(const std::string& call) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::seconds(10),
                             [&] { return std::ranges::count(calls_, call) > 0; });
  }

 private:
  Status Note(const char* what, uint64_t step, uint32_t bucket) {
    const std::string call =
        std::string(what) + " " + std::to_string(step) + "." + std::to_string(bucket);
    {
      const std::lock_guard lock(mutex_);
      calls_.push_back(call);
    }
    changed_.notify_all();
    return on_call(call);
  }

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::string> calls_;
};

PipelineJob JobOf(uint64_t step, uint32_t index, std::vector<Status>* done = nullptr) {
  return {.bucket = {.step = step, .index = index},
          .parameters = {{"w", 0, 1}},
          .done = [done](const Status& status) {
            if (done != nullptr) done->push_back(status);
          }};
}

std::vector<std::string> Of(const std::vector<std::string>& calls, const std::string& what) {
  std::vector<std::string> some;
  for (const std::string& call : calls) {
    if (call.starts_with(what)) some.push_back(call);
  }
  return some;
}

TEST(Pipeline, StagesKeepTheOrderOfSubmission) {
  NotingCollective collective;
  std::vector<Status> done;
  {
    Pipeline pipeline(&collective);
    for (uint64_t step = 0; step < 2; ++step) {
      for (uint32_t bucket = 0; bucket < 3; ++bucket) pipeline.Submit(JobOf(step, bucket, &done));
    }
  }
  const std::vector<std::string> calls = collective.calls();
  EXPECT_EQ(Of(calls, "prepare"),
            (std::vector<std::string>{"prepare 0.0", "prepare 0.1", "prepare 0.2", "prepare 1.0",
                                      "prepare 1.1", "prepare 1.2"}));
  EXPECT_EQ(Of(calls, "exchange").size(), 6u);
  EXPECT_TRUE(std::ranges::is_sorted(Of(calls, "exchange")));
  EXPECT_EQ(calls[0], "begin 0.0");
  // A step begins after all exchanges of the one before.
  const auto begin = std::ranges::find(calls, "begin 1.0");
  EXPECT_GT(begin, std::ranges::find(calls, "exchange 0.2"));
  EXPECT_LT(begin, std::ranges::find(calls, "prepare 1.0"));
  EXPECT_EQ(done.size(), 6u);
}

TEST(Pipeline, NextBucketsArePreparedDuringAnExchange) {
  NotingCollective collective;
  collective.on_call = [&](const std::string& call) {
    if (call == "exchange 0.0") {
      EXPECT_TRUE(collective.WaitFor("prepare 0.2"));
    }
    return Status::Ok();
  };
  Pipeline pipeline(&collective);
  for (uint32_t bucket = 0; bucket < 3; ++bucket) pipeline.Submit(JobOf(0, bucket));
}

TEST(Pipeline, AStepMayBeginBeforeItsBuckets) {
  NotingCollective collective;
  {
    Pipeline pipeline(&collective);
    pipeline.Begin(7);
    ASSERT_TRUE(collective.WaitFor("begin 7.0"));
    pipeline.Submit(JobOf(7, 0));
    pipeline.Begin(8);
    pipeline.Submit(JobOf(8, 0));
  }
  EXPECT_EQ(collective.calls(),
            (std::vector<std::string>{"begin 7.0", "prepare 7.0", "exchange 7.0", "begin 8.0",
                                      "prepare 8.0", "exchange 8.0"}));
}

TEST(Pipeline, FirstErrorIsThatOfAllThatFollow) {
  for (const char* where : {"begin 0.0", "prepare 0.1", "exchange 0.1"}) {
    for (const bool throws : {false, true}) {
      NotingCollective collective;
      collective.on_call = [&](const std::string& call) {
        if (call != where) return Status::Ok();
        if (throws) throw std::runtime_error("rank 7\nand a backtrace");
        return Status::PeerLost("rank 7");
      };
      std::vector<Status> done;
      {
        Pipeline pipeline(&collective);
        for (uint32_t bucket = 0; bucket < 4; ++bucket) {
          pipeline.Submit(JobOf(0, bucket, &done));
        }
        pipeline.Submit(JobOf(1, 0, &done));
      }
      ASSERT_EQ(done.size(), 5u) << where << ": nothing hangs";
      EXPECT_EQ(done.back().code(), throws ? StatusCode::kInternal : StatusCode::kPeerLost);
      EXPECT_NE(done.back().message().find("rank 7"), std::string::npos);
      EXPECT_EQ(done.back().message().find('\n'), std::string::npos);
      EXPECT_EQ(done[2].message(), done[4].message());
      EXPECT_EQ(Of(collective.calls(), "exchange 1").size(), 0u);
    }
  }
}

TEST(Pipeline, FailsOnRequest) {
  NotingCollective collective;
  std::vector<Status> done;
  {
    Pipeline pipeline(&collective);
    pipeline.Fail(Status::Internal("enough"));
    pipeline.Fail(Status::Internal("more"));
    pipeline.Submit(JobOf(0, 0, &done));
    EXPECT_EQ(pipeline.status().message(), "enough");
  }
  ASSERT_EQ(done.size(), 1u);
  EXPECT_EQ(done[0].message(), "enough");
  EXPECT_TRUE(collective.calls().empty());
}

// What `before` throws is an error like any other.
TEST(Pipeline, BeforeComesBeforePrepare) {
  NotingCollective collective;
  std::vector<Status> done;
  {
    Pipeline pipeline(&collective);
    PipelineJob job = JobOf(0, 0, &done);
    job.before = [&] { EXPECT_EQ(Of(collective.calls(), "prepare").size(), 0u); };
    pipeline.Submit(std::move(job));
    job = JobOf(0, 1, &done);
    job.before = [] { throw std::runtime_error("no"); };
    pipeline.Submit(std::move(job));
  }
  ASSERT_EQ(done.size(), 2u);
  EXPECT_EQ(done[1].code(), StatusCode::kInternal);
}

}  // namespace
}  // namespace cddp

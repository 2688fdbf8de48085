#include "trainer/rank_zero.h"

#include <chrono>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <thread>

#include "trainer/failure.h"

namespace cddp {
namespace {

// A collective that takes longer than World::collective_timeout fails: so the ranks agree,
// every so often, that the work still goes on.
constexpr std::chrono::seconds kEvery{5};

constexpr uint64_t kGoesOn = 1000;  // else it ended, with this status code

Status OutcomeOf(const std::function<void()>& work) {
  try {
    work();
  } catch (const StatusError& error) {
    return error.status();
  } catch (const std::exception& error) {
    return Status::Internal(error.what());
  }
  return Status::Ok();
}

// Throws on all ranks when rank 0's `code` is not kOk; `message` is rank 0's.
void ShareOutcome(World& world, StatusCode code, const std::string& message) {
  if (code != StatusCode::kOk) throw SharedError(code, world.AgreeOnText(message));
}

}  // namespace

void OnRankZero(World& world, const std::function<void()>& work) {
  const Status outcome = world.rank() == 0 ? OutcomeOf(work) : Status::Ok();
  const uint64_t code = world.AgreeOnNumber(static_cast<uint64_t>(outcome.code()));
  ShareOutcome(world, static_cast<StatusCode>(code), outcome.message());
}

void OnRankZeroAlone(World& world, const std::function<void(World&)>& work) {
  if (world.rank() != 0) {
    uint64_t code = kGoesOn;
    while (code == kGoesOn) code = world.AgreeOnNumber(0);
    return ShareOutcome(world, static_cast<StatusCode>(code), "");
  }
  std::mutex mutex;
  std::condition_variable ended;
  bool done = false;
  std::exception_ptr lost;  // of the thread that keeps the others waiting
  std::thread keeper([&] {
    std::unique_lock lock(mutex);
    try {
      while (!ended.wait_for(lock, kEvery, [&] { return done; })) world.AgreeOnNumber(kGoesOn);
    } catch (...) {
      lost = std::current_exception();
    }
  });
  const Status outcome = OutcomeOf([&] {
    const std::unique_ptr<World> solo = World::Join({});
    work(*solo);
    solo->Leave();
  });
  {
    const std::lock_guard lock(mutex);
    done = true;
  }
  ended.notify_one();
  keeper.join();
  if (lost) std::rethrow_exception(lost);
  world.AgreeOnNumber(static_cast<uint64_t>(outcome.code()));
  ShareOutcome(world, outcome.code(), outcome.message());
}

}  // namespace cddp

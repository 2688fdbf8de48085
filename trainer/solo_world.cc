#include "trainer/solo_world.h"

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

Status Outcome(const std::function<void(World&)>& work) {
  try {
    WorldOptions alone;
    const std::unique_ptr<World> solo = World::Join(alone);
    work(*solo);
    solo->Leave();
  } catch (const StatusError& error) {
    return error.status();
  } catch (const std::exception& error) {
    return Status::Internal(error.what());
  }
  return Status::Ok();
}

}  // namespace

void OnRankZeroAlone(World& world, const std::function<void(World&)>& work) {
  if (world.rank() != 0) {
    uint64_t code = kGoesOn;
    while (code == kGoesOn) code = world.AgreeOnNumber(0);
    if (code == static_cast<uint64_t>(StatusCode::kOk)) return;
    throw SharedError(static_cast<StatusCode>(code), "rank 0, which worked alone, could not go on");
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
  const Status outcome = Outcome(work);
  {
    const std::lock_guard lock(mutex);
    done = true;
  }
  ended.notify_one();
  keeper.join();
  if (lost) std::rethrow_exception(lost);
  world.AgreeOnNumber(static_cast<uint64_t>(outcome.code()));
  if (!outcome.ok()) throw SharedError(outcome);
}

}  // namespace cddp

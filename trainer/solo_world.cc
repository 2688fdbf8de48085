#include "trainer/solo_world.h"

#include <chrono>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <thread>

#include "cddp/status.h"

namespace cddp {
namespace {

// A collective that takes longer than World::collective_timeout fails: so the ranks agree,
// every so often, that the work still goes on.
constexpr std::chrono::seconds kEvery{5};

constexpr uint64_t kGoesOn = 1000;  // else it ended, with this status code

void Work(const std::function<void(World&)>& work) {
  WorldOptions alone;
  const std::unique_ptr<World> solo = World::Join(alone);
  work(*solo);
  solo->Leave();
}

uint64_t CodeOf(const std::exception_ptr& error) {
  if (!error) return static_cast<uint64_t>(StatusCode::kOk);
  try {
    std::rethrow_exception(error);
  } catch (const StatusError& status) {
    return static_cast<uint64_t>(status.code());
  } catch (...) {
    return static_cast<uint64_t>(StatusCode::kInternal);
  }
}

}  // namespace

void OnRankZeroAlone(World& world, const std::function<void(World&)>& work) {
  if (world.rank() != 0) {
    uint64_t code = kGoesOn;
    while (code == kGoesOn) code = world.AgreeOnNumber(0);
    if (code == static_cast<uint64_t>(StatusCode::kOk)) return;
    throw StatusError(static_cast<StatusCode>(code), "rank 0, which worked alone, could not go on");
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
  std::exception_ptr error;
  try {
    Work(work);
  } catch (...) {
    error = std::current_exception();
  }
  {
    const std::lock_guard lock(mutex);
    done = true;
  }
  ended.notify_one();
  keeper.join();
  if (lost) std::rethrow_exception(lost);
  world.AgreeOnNumber(CodeOf(error));
  if (error) std::rethrow_exception(error);
}

}  // namespace cddp

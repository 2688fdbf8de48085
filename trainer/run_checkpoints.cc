#include "trainer/run_checkpoints.h"

#include <fmt/format.h>
#include <string.h>

#include "trainer/failure.h"

namespace cddp {
namespace {

using Clock = std::chrono::steady_clock;

}  // namespace

RunCheckpoints::RunCheckpoints(const TrainOptions& options, World& world,
                               const std::filesystem::path& folder, const TrainedState& state)
    : options_(options), state_(state) {
  if (folder.empty()) return;
  writer_.emplace(options, world, folder);
  stop_.emplace(world);
}

bool RunCheckpoints::Save(const LoopState& loop) {
  const auto start = Clock::now();
  const bool saved = writer_->Save(state_, loop);
  time_ += Clock::now() - start;
  return saved;
}

void RunCheckpoints::AfterStep(uint64_t step, bool evaluated,
                               const std::function<LoopState()>& loop) {
  if (!writer_) return;
  const int signal = stop_->AfterStep(/*now=*/evaluated);
  const auto every = static_cast<uint64_t>(options_.save_every_steps);
  const bool due = every > 0 && step % every == 0;
  if (!due && signal == 0) return;
  const bool saved = Save(loop());
  if (signal == 0) return;
  const std::string stopped =
      fmt::format("stopped after step {} by signal {} ({})", step, signal, strsignal(signal));
  if (!saved) {
    throw SharedError(StatusCode::kUnavailable,
                      fmt::format("{}, without a checkpoint: {}", stopped, writer_->failure()));
  }
  throw SharedError(StatusCode::kInterrupted, fmt::format("{}; go on with --resume {}", stopped,
                                                          writer_->LastPath().string()));
}

bool RunCheckpoints::DueAfter(int epoch) const {
  return writer_ && options_.save_every > 0 &&
         (epoch % options_.save_every == 0 || epoch == options_.epochs);
}

bool RunCheckpoints::AfterEpoch(int epoch, const LoopState& loop) {
  return DueAfter(epoch) && Save(loop);
}

}  // namespace cddp

#include "trainer/evaluation.h"

#include <algorithm>
#include <chrono>
#include <numbers>
#include <numeric>
#include <vector>

#include "trainer/tensor_batch.h"

namespace cddp {

using Clock = std::chrono::steady_clock;

EvaluationPass ShareOf(const World& world, int64_t count, int64_t piece) {
  const int64_t pieces = (count + piece - 1) / piece;
  const auto first_of = [&](int rank) {
    return std::min(count, pieces * rank / world.size() * piece);
  };
  return {.begin = first_of(world.rank()), .end = first_of(world.rank() + 1)};
}

void ForEachBatch(Model& model, const Samples& samples, const EvaluationPass& pass,
                  const std::function<void(const EvaluatedBatch&)>& seen) {
  const torch::NoGradGuard no_grad;
  model.eval();
  const at::Device device = DeviceOf(model);
  Batch batch;
  std::vector<int64_t> numbers;
  for (int64_t at = pass.begin; at < pass.end; at += pass.batch_size) {
    numbers.resize(static_cast<size_t>(std::min(pass.batch_size, pass.end - at)));
    std::iota(numbers.begin(), numbers.end(), at);
    samples.Make(numbers, /*epoch=*/0, &batch);
    const auto [inputs, targets] = OnDevice(AsTensors(batch, samples.format()), device);
    const auto start = Clock::now();
    Prediction prediction = Predict(model, inputs, targets, pass.amp);
    if (!device.is_cpu()) (void)prediction.loss_sum.item();  // waits for it
    const double forward_s = std::chrono::duration<double>(Clock::now() - start).count();
    seen({at, targets, std::move(prediction), forward_s});
  }
}

std::optional<double> BitsPerByte(double loss, const SampleFormat& format) {
  if (format.bytes_per_token <= 0) return std::nullopt;
  return loss / (std::numbers::ln2 * format.bytes_per_token);
}

Tally SumOverWorkers(World& world, const Tally& tally) {
  std::vector<double> sums{tally.loss, tally.correct, tally.samples};
  world.Sum(sums);
  return {sums[0], sums[1], sums[2]};
}

Tally Evaluate(Model& model, const Samples& samples, int64_t count, int64_t text_batch,
               const std::string& amp, World& world) {
  EvaluationPass pass = ShareOf(world, count, /*piece=*/1);
  pass.amp = amp;
  if (samples.format().context > 0) pass.batch_size = text_batch;
  Tally tally;
  ForEachBatch(model, samples, pass, [&](const EvaluatedBatch& batch) {
    tally += TallyOf(batch.prediction.logits, batch.targets, batch.prediction.loss_sum);
  });
  return SumOverWorkers(world, tally);
}

}  // namespace cddp

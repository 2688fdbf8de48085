// Five checks of a build on its machine: selection, memory and frames in this
// process, then synchronisation and training with two real workers.
#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <torch/torch.h>

#include <chrono>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <functional>
#include <random>

#include "cddp/collective.h"
#include "cddp/frame.h"
#include "cddp/status.h"
#include "core/oracle.h"
#include "ddp/c10d_transport.h"
#include "trainer/commands.h"
#include "trainer/data/image_samples.h"
#include "trainer/data/temporary_folder.h"
#include "trainer/failure.h"
#include "trainer/report_file.h"
#include "trainer/training.h"
#include "trainer/worker.h"

namespace cddp {
namespace {

struct Check {
  std::string name;
  bool ok = false;
  double ms = 0;
  std::string detail;  // what was seen
};

[[noreturn]] void Fail(const std::string& what) { throw StatusError(StatusCode::kInternal, what); }

Check Run(const std::string& name, const std::function<std::string()>& body) {
  Check check{.name = name};
  const auto start = std::chrono::steady_clock::now();
  try {
    check.detail = body();
    check.ok = true;
  } catch (const StatusError& error) {
    if (error.code() == StatusCode::kPeerLost) throw;
    check.detail = error.what();
  }
  check.ms =
      std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
  return check;
}

std::vector<float> Normal(size_t n, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> values(n);
  for (float& value : values) value = normal(random);
  return values;
}

std::string CheckSelection() {
  constexpr size_t kElements = 1'000'000;
  const std::vector<float> values = Normal(kElements, 1);
  const auto selector = MakeTopKSelector();
  for (size_t k : {size_t{1}, kElements / 1000, kElements / 100, kElements / 10}) {
    Selection selection;
    selector->Select(values, k, 0, &selection);
    const Selection expected = SelectTopKOracle(values, k);
    if (selection.indices != expected.indices || selection.values != expected.values) {
      Fail(fmt::format("the largest {} of {} differ from those found by sorting", k, kElements));
    }
  }
  return fmt::format("{} elements, equal to sorting", kElements);
}

std::string CheckMemory() {
  constexpr uint32_t kElements = 10'000;
  constexpr int kSteps = 200;
  std::unique_ptr<Compressor> compressor;
  ThrowIfError(Compressor::Create({.ratio = 0.01, .memory = {.name = "residual"}}, &compressor));
  const std::vector<BucketParameter> layout{{"weight", 0, kElements}};
  std::vector<float> residual(kElements, 0.0f);
  std::vector<std::byte> frame;
  for (int step = 0; step < kSteps; ++step) {
    std::vector<float> gradient = Normal(kElements, static_cast<uint64_t>(step));
    const Bucket bucket{
        .step = static_cast<uint64_t>(step), .values = gradient, .parameters = layout};
    ThrowIfError(compressor->Compress(bucket, 0, &frame));
    compressor->EndStep(true);
    FrameView view;
    Selection entries;
    ThrowIfError(DecodeFrame(frame, {bucket.step, 0, 0, kElements}, kElements, &view, &entries));
    std::vector<float> sent(kElements, 0.0f);
    for (size_t i = 0; i < entries.size(); ++i) sent[entries.indices[i]] = entries.values[i];
    const std::vector<float> kept = compressor->memory().Save().at("weight");
    for (uint32_t i = 0; i < kElements; ++i) {
      if (gradient[i] + residual[i] != sent[i] + kept[i]) {
        Fail(fmt::format("step {}, element {}: gradient + memory is not sent + kept", step, i));
      }
    }
    residual = kept;
  }
  return fmt::format("{} steps of {} elements, nothing lost", kSteps, kElements);
}

std::string CheckFrames() {
  constexpr uint32_t kElements = 100'000;
  const std::vector<float> values = Normal(kElements, 3);
  Selection selection = SelectTopKOracle(values, 1000);
  const FrameId id{.step = 7, .bucket = 1, .rank = 0, .elements = kElements};
  std::vector<std::byte> frame;
  const std::vector<size_t> run_ends = {selection.size()};
  ThrowIfError(
      EncodeFrame({.values = ValueFormat::kInt4}, id, run_ends, false, &selection, &frame));
  FrameView view;
  Selection decoded;
  ThrowIfError(DecodeFrame(frame, id, selection.size(), &view, &decoded));
  if (decoded.indices != selection.indices || decoded.values != selection.values) {
    Fail("a frame does not decode to what was encoded");
  }
  constexpr int kDamages = 10'000;
  std::mt19937_64 random(4);
  for (int i = 0; i < kDamages; ++i) {
    std::vector<std::byte> damaged = frame;
    damaged[random() % damaged.size()] ^= std::byte{1} << (random() % 8);
    if (ValidateFrame(damaged, id, selection.size(), &view).ok())
      Fail("a damaged frame was accepted");
  }
  return fmt::format("{} damaged frames, all refused", kDamages);
}

std::string CheckSynchronisation(World& world) {
  constexpr uint32_t kElements = 50'000;
  constexpr int kSteps = 50;
  C10dTransport transport(world);
  const std::unique_ptr<Collective> dense = MakeDenseCollective(&transport);
  std::unique_ptr<Compressor> compressor;
  ThrowIfError(Compressor::Create({.ratio = 1.0, .memory = {.name = "residual"}}, &compressor));
  const std::unique_ptr<Collective> gather =
      MakeGatherCollective(&transport, std::move(compressor));
  const std::vector<BucketParameter> layout{{"weight", 0, kElements}};
  for (int step = 0; step < kSteps; ++step) {
    const uint64_t seed = static_cast<uint64_t>(step * world.size() + world.rank());
    std::vector<float> a = Normal(kElements, seed);
    std::vector<float> b = a;
    for (auto [collective, values] : {std::pair{dense.get(), &a}, std::pair{gather.get(), &b}}) {
      ThrowIfError(collective->AllReduceMean(
          {.step = static_cast<uint64_t>(step), .values = *values, .parameters = layout}));
      collective->EndStep();
    }
    for (uint32_t i = 0; i < kElements; ++i) {
      if (std::abs(a[i] - b[i]) > 1e-6f)
        Fail(fmt::format("step {}: everything sent sparsely is not the dense mean", step));
    }
  }
  return fmt::format("{} workers, {} steps, sparse at ratio 1 equals dense", world.size(), kSteps);
}

// Ten classes of noisy images, each with its own bright rows.
ImageDataset SyntheticImages(uint32_t count, uint64_t seed) {
  ImageDataset data{.count = count, .channels = 1, .rows = 28, .cols = 28};
  data.classes = 10;
  data.mean = {0.3f};
  data.std = {0.3f};
  std::mt19937_64 random(seed);
  for (uint32_t i = 0; i < count; ++i) {
    const uint32_t label = i % 10;
    data.labels.push_back(static_cast<uint8_t>(label));
    for (uint32_t row = 0; row < 28; ++row) {
      const uint32_t base = row / 2 == label + 1 ? 150 : 30;
      for (uint32_t col = 0; col < 28; ++col) {
        data.pixels.push_back(static_cast<uint8_t>(base + random() % 100));
      }
    }
  }
  return data;
}

std::string CheckTraining(World& world, TrainOptions options) {
  const DatasetSplits data{.train = MakeImageSamples(SyntheticImages(1600, 1), {}),
                           .test = MakeImageSamples(SyntheticImages(400, 2), {}),
                           .sha256 = {}};
  options.dataset = "synthetic";
  options.epochs = 2;
  options.batch_size = 16;
  options.lr = 0.02;
  options.compress = false;
  options.collective = "dense";
  const TrainingSummary dense = Train(options, world, data, nullptr);
  options.compress = true;
  options.collective = "gather";
  options.memory = "dgc";
  options.ratio = 0.01;
  const TrainingSummary sparse = Train(options, world, data, nullptr);
  const double fewer = dense.tx_bytes_per_step / sparse.tx_bytes_per_step;
  const std::string seen =
      fmt::format("accuracy {:.1f}% dense, {:.1f}% at 1%; {:.1f}x fewer bytes",
                  dense.test_accuracy_percent, sparse.test_accuracy_percent, fewer);
  if (dense.test_accuracy_percent < 90 || sparse.test_accuracy_percent < 90 || fewer < 40)
    Fail(seen);
  return seen;
}

nlohmann::json ToJson(const Check& check) {
  return {{"name", check.name}, {"ok", check.ok}, {"ms", check.ms}, {"detail", check.detail}};
}

void RunWorkerChecks(const TrainOptions& options, World& world) {
  std::vector<Check> checks;
  checks.push_back(Run("synchronisation", [&] { return CheckSynchronisation(world); }));
  checks.push_back(Run("training", [&] { return CheckTraining(world, options); }));
  if (world.rank() != 0) return;
  nlohmann::json report = nlohmann::json::array();
  for (const Check& check : checks) report.push_back(ToJson(check));
  WriteJsonReport(options.json, report);
}

}  // namespace

int ValidateCommand(const TrainOptions& options, const std::vector<std::string>& arguments) {
  RequireWritableReport(options.json);
  if (options.rendezvous != "env") {  // one of the two workers
    return RunInWorld(options, {{"command", "validate"}},
                      [&](World& world) { RunWorkerChecks(options, world); });
  }

  nlohmann::json checks = nlohmann::json::array();
  const auto report = [&](const nlohmann::json& check) {
    std::FILE* out = TableStream(options.json);
    fmt::print(out, "{} {:<16} {:>7.0f} ms  {}\n", check["ok"].get<bool>() ? "ok  " : "FAIL",
               check["name"].get<std::string>(), check["ms"].get<double>(),
               check["detail"].get<std::string>());
    std::fflush(out);
    checks.push_back(check);
  };
  report(ToJson(Run("selection", CheckSelection)));
  report(ToJson(Run("memory law", CheckMemory)));
  report(ToJson(Run("wire frames", CheckFrames)));

  const TemporaryFolder folder;
  const std::string results = (folder.path() / "checks.json").string();
  TrainOptions workers = options;
  workers.workers = 2;
  const int code = LaunchLocalWorkers(
      workers, {arguments[0], "validate", "--json", results, "--log-level", "error"});
  if (code != 0) {
    report(ToJson(Check{.name = "two workers", .detail = fmt::format("ended with code {}", code)}));
  } else {
    std::ifstream file(results);
    for (const nlohmann::json& check : nlohmann::json::parse(file)) report(check);
  }

  size_t failed = 0;
  for (const nlohmann::json& check : checks) failed += !check["ok"].get<bool>();
  WriteJsonReport(options.json, {{"checks", checks}, {"failed", failed}});
  if (failed == 0) return 0;
  spdlog::error("{} of {} checks failed", failed, checks.size());
  return code != 0 ? code : ExitCode(StatusCode::kInternal);
}

}  // namespace cddp

// Longer than other files: what is written of a checkpoint and what is read stand side by side.
#include "trainer/checkpoint.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <chrono>
#include <thread>

#include "cddp/status.h"
#include "collective/memory_mean.h"
#include "trainer/data/file_bytes.h"
#include "trainer/failure.h"
#include "trainer/memory_order.h"
#include "trainer/model.h"
#include "trainer/plan_file.h"
#include "trainer/rank_state.h"
#include "trainer/rank_zero.h"
#include "trainer/tensor_state.h"

namespace cddp {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

constexpr const char* kOptimizer = "optimizer.safetensors";
// What Sum carries for each rank: it adds doubles, which hold 32 bits of a hash for sure.
constexpr size_t kNumbersOfDigest = 4;

std::string RankFile(int rank) { return fmt::format("rank-{:05}.safetensors", rank); }

FileDigest WriteTensors(const fs::path& path, const NamedTensors& tensors) {
  return WriteCheckpointFile(path, LayOutSafetensors(TensorBytes(tensors).views(), {}));
}

// What dropout draws from.
at::Generator GeneratorOf(const torch::nn::Module& module) {
  return at::globalContext().defaultGenerator(DeviceOf(module));
}

std::vector<uint8_t> GeneratorState(const torch::nn::Module& module) {
  const at::Tensor state = GeneratorOf(module).get_state();
  const auto* bytes = static_cast<const uint8_t*>(state.data_ptr());
  return {bytes, bytes + state.nbytes()};
}

void SetGeneratorState(const std::vector<uint8_t>& bytes, const torch::nn::Module& module) {
  at::Tensor state = torch::empty({static_cast<int64_t>(bytes.size())}, torch::kByte);
  std::ranges::copy(bytes, static_cast<uint8_t*>(state.data_ptr()));
  try {
    GeneratorOf(module).set_state(state);
  } catch (const c10::Error& error) {
    throw StatusError(StatusCode::kInvalidArgument,
                      fmt::format("the saved random generator is of another --device or libtorch: "
                                  "{}",
                                  error.what_without_backtrace()));
  }
}

RankState StateOfRank(const TrainedState& trained, const Json& of_rank) {
  RankState state{.generator = GeneratorState(trained.module), .rest = of_rank};
  Collective& collective = trained.collective;
  if (const Compression* compression = collective.compression()) {
    ThrowIfError(compression->Save(&state.compressor));
    if (HasChannelsLast(trained.module)) {
      ToRowMajor(trained.module, compression->memory_name(), &state.compressor.memory);
    }
  }
  if (collective.owner_memory() != nullptr) state.owner = collective.owner_memory()->Save();
  return state;
}

// What was saved counts as for a run without compression.
std::string MemoryOf(const std::map<std::string, std::string>& configuration) {
  const auto value = [&](const char* flag) {
    const auto it = configuration.find(flag);
    return it == configuration.end() ? std::string() : it->second;
  };
  return value("--compress") == "true" ? value("--memory") : "none";
}

// A network file system may show a moment later what another machine has made.
bool Appears(const fs::path& path) {
  using Clock = std::chrono::steady_clock;
  const auto deadline = Clock::now() + std::chrono::seconds(3);
  std::error_code error;
  while (!fs::exists(path, error)) {
    if (Clock::now() > deadline) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  return true;
}

// All ranks read the same file: what one of them refuses, all do.
template <typename Work>
void OnAllRanks(const Work& work) {
  try {
    work();
  } catch (const StatusError& error) {
    if (error.code() != StatusCode::kInvalidArgument) throw;
    throw SharedError(error.status());
  }
}

}  // namespace

CheckpointWriter::CheckpointWriter(const TrainOptions& options, World& world, fs::path folder)
    : options_(options), world_(world), folder_(std::move(folder)) {
  if (world.size() > 1) RequireSharedFolder();
}

void CheckpointWriter::RequireSharedFolder() const {
  // A step that no run comes to: nothing else has its name.
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  const uint64_t probe =
      world_.AgreeOnNumber(static_cast<uint64_t>(now / std::chrono::nanoseconds(1)));
  OnRankZero(world_, [&] { folder_.Begin(probe); });
  std::vector<double> blind(static_cast<size_t>(world_.size()), 0.0);
  if (!Appears(folder_.UnfinishedPathOf(probe))) blind[static_cast<size_t>(world_.rank())] = 1;
  world_.Sum(blind);
  if (world_.rank() == 0) folder_.Discard(probe);
  std::vector<size_t> ranks;
  for (size_t r = 0; r < blind.size(); ++r) {
    if (blind[r] > 0) ranks.push_back(r);
  }
  if (ranks.empty()) return;
  throw SharedError(
      StatusCode::kInvalidArgument,
      fmt::format("every worker writes its part of a checkpoint, but rank {} does not see what "
                  "rank 0 writes to {}: name a folder that all machines share with "
                  "--checkpoint-dir, or save nothing with --save-every 0",
                  fmt::join(ranks, ", "), folder_.path().string()));
}

void CheckpointWriter::WriteShared(const TrainedState& state, const LoopState& loop,
                                   FileDigests* files) const {
  const fs::path folder = folder_.UnfinishedPathOf(loop.step);
  const fs::path model = ModelFile(folder);
  (*files)[model.filename()] = WriteTensors(model, ModuleTensors(state.module));
  (*files)[kOptimizer] =
      WriteTensors(folder / kOptimizer, OptimizerTensors(state.optimizer, state.module));
  const Plan* plan = state.collective.plan();
  const SharedState shared{.step = loop.step,
                           .world_size = world_.size(),
                           .configuration = AgreedConfiguration(options_),
                           .data_sha256 = loop.data_sha256,
                           .plan = plan == nullptr ? Json() : ToJson(*plan),
                           .plan_settled = state.collective.settled(),
                           .channels_last_shares = HasChannelsLast(state.module),
                           .loop = loop.shared};
  const fs::path state_file = SharedStateFile(folder);
  (*files)[state_file.filename()] = WriteCheckpointFile(state_file, ToJson(shared));
}

std::optional<FileDigests> CheckpointWriter::DigestsOfRanks(const FileDigest* own) {
  const auto ranks = static_cast<size_t>(world_.size());
  std::vector<double> numbers(ranks * kNumbersOfDigest, 0.0);
  if (own != nullptr) {
    double* mine = &numbers[static_cast<size_t>(world_.rank()) * kNumbersOfDigest];
    mine[0] = 1;
    mine[1] = static_cast<double>(own->xxh3 >> 32);
    mine[2] = static_cast<double>(own->xxh3 & 0xffffffffu);
    mine[3] = static_cast<double>(own->bytes);
  }
  world_.Sum(numbers);
  FileDigests files;
  for (size_t r = 0; r < ranks; ++r) {
    const double* of = &numbers[r * kNumbersOfDigest];
    if (of[0] == 0) {
      if (failure_.empty()) failure_ = fmt::format("rank {} could not write its part", r);
      return std::nullopt;
    }
    files[RankFile(static_cast<int>(r))] = {
        .bytes = static_cast<uint64_t>(of[3]),
        .xxh3 = static_cast<uint64_t>(of[1]) << 32 | static_cast<uint64_t>(of[2])};
  }
  return files;
}

void CheckpointWriter::Prune(uint64_t step) const {
  try {
    folder_.Prune(step, options_.keep);
  } catch (const StatusError& error) {
    spdlog::warn("an old checkpoint stays: {}", error.what());
  }
}

bool CheckpointWriter::Save(const TrainedState& state, const LoopState& loop) {
  failure_.clear();
  // Errors of the disk are this rank's alone: all ranks go through the same collectives.
  const auto attempt = [&](const auto& work) {
    if (!failure_.empty()) return;
    try {
      work();
    } catch (const StatusError& error) {
      if (error.code() != StatusCode::kUnavailable) throw;
      failure_ = error.what();
    }
  };
  const bool first = world_.rank() == 0;
  if (first) attempt([&] { folder_.Begin(loop.step); });
  world_.Barrier();

  std::optional<FileDigest> own;
  FileDigests shared;
  attempt([&] {
    const FileDigest of_rank =
        WriteRankState(folder_.UnfinishedPathOf(loop.step) / RankFile(world_.rank()),
                       StateOfRank(state, loop.of_rank));
    if (first) WriteShared(state, loop, &shared);
    own = of_rank;
  });
  std::optional<FileDigests> files = DigestsOfRanks(own ? &*own : nullptr);
  if (files && first) {
    files->merge(shared);
    attempt([&] { folder_.Publish(loop.step, *files, loop.is_best); });
  }
  const bool written = world_.AgreeOnNumber(failure_.empty() ? 1 : 0) == 1;
  if (!written && failure_.empty()) failure_ = "rank 0 could not write its part";
  if (written && first) Prune(loop.step);
  if (!written && first) {
    folder_.Discard(loop.step);
    spdlog::warn("no checkpoint of step {}: {}; those before are still there, training goes on",
                 loop.step, failure_);
  }
  return written;
}

std::unique_ptr<ResumedCheckpoint> ResumedCheckpoint::Find(const TrainOptions& options,
                                                           World& world) {
  if (options.resume.empty()) return nullptr;
  const bool is_auto = options.resume == "auto";
  const fs::path from = is_auto ? options.checkpoint_dir : options.resume;
  const auto skip = [](const std::string& why) {
    spdlog::warn("damaged checkpoint, going back to the one before: {}", why);
  };
  std::string chosen;
  OnRankZero(world, [&] {
    if (is_auto) {
      if (const auto newest = CheckpointFolder(from).NewestValid(skip)) chosen = newest->string();
    } else {
      chosen = LocateCheckpoint(from, skip).string();
    }
  });
  const fs::path path = world.AgreeOnText(chosen);
  if (path.empty()) {
    spdlog::info("no checkpoint in {}: starting anew", from.string());
    return nullptr;
  }
  std::unique_ptr<ResumedCheckpoint> checkpoint(new ResumedCheckpoint(world, path));
  checkpoint->Read(options);
  return checkpoint;
}

void ResumedCheckpoint::Read(const TrainOptions& options) {
  shared_ = ReadSharedState(path_);
  if (!shared_.plan.is_null() && options.collective == "auto" && same_world_size()) {
    plan_ = PlanFromJson(shared_.plan, SharedStateFile(path_).string());
  }
  RequireSameOptimizer(options);
  RequireSameMemory(options);
  RequireNoLaterOnes(options);
  spdlog::info("going on after step {} from {}", shared_.step, path_.string());
  LogDifferences(options);
}

// sgd and lars keep momentum under the same name, but lars' has the learning rate in it.
void ResumedCheckpoint::RequireSameOptimizer(const TrainOptions& options) const {
  const auto saved = shared_.configuration.find("--optimizer");
  if (saved == shared_.configuration.end() || saved->second == options.optimizer) return;
  throw SharedError(StatusCode::kInvalidArgument,
                    fmt::format("{} holds the state of --optimizer {}, which says nothing to {}: "
                                "go on with --optimizer {}",
                                path_.string(), saved->second, options.optimizer, saved->second));
}

void ResumedCheckpoint::RequireSameMemory(const TrainOptions& options) const {
  const std::string saved = MemoryOf(shared_.configuration);
  const std::string now = options.compress ? options.memory : "none";
  if (saved == "none" || saved == now) return;
  throw SharedError(
      StatusCode::kInvalidArgument,
      fmt::format("{} holds memories of --compress --memory {}, this run's is {}: what they hold "
                  "would be lost; go on with --compress --memory {}",
                  path_.string(), saved, now, saved));
}

// They would be taken for this run's newest.
void ResumedCheckpoint::RequireNoLaterOnes(const TrainOptions& options) const {
  const CheckpointFolder folder(options.checkpoint_dir);
  uint64_t newest = 0;
  if (options.resume != "auto" && !options.checkpoint_dir.empty()) {
    const std::vector<uint64_t> steps = folder.Steps();
    if (!steps.empty()) newest = steps.back();
  }
  newest = world_.AgreeOnNumber(newest);
  if (newest <= shared_.step) return;
  throw SharedError(
      StatusCode::kInvalidArgument,
      fmt::format("{} is newer than {}, with which this run is to go on: choose another "
                  "--checkpoint-dir, or remove what is newer",
                  folder.PathOf(newest).string(), path_.string()));
}

void ResumedCheckpoint::LogDifferences(const TrainOptions& options) const {
  std::string differences;
  // Earlier versions noted what auto would be of dense runs too.
  const bool dense = !options.compress && MemoryOf(shared_.configuration) == "none";
  for (const auto& [flag, now] : AgreedConfiguration(options)) {
    // These are no hyper-parameters.
    if (flag == "--resume" || flag == "--eval-every-steps" || flag.starts_with("--save-every")) {
      continue;
    }
    if (dense && (flag == "--memory" || flag == "--momentum-masking")) continue;
    const auto it = shared_.configuration.find(flag);
    const std::string saved = it == shared_.configuration.end() ? "not there" : it->second;
    if (saved != now) differences += fmt::format("\n  {}: {} then, {} now", flag, saved, now);
  }
  if (!differences.empty()) {
    spdlog::warn("options that differ from the checkpoint's; those of now hold:{}", differences);
  }
}

void ResumedCheckpoint::LoadModule(torch::nn::Module& module) const {
  const fs::path file = ModelFile(path_);
  const Safetensors tensors = Safetensors::Read(file);
  OnAllRanks([&] { CopyInto(tensors, file.string(), ModuleTensors(module)); });
}

void ResumedCheckpoint::LoadCompression(const TrainedState& state, CompressorState loaded) const {
  Compression& compression = *state.collective.compression();
  if (HasChannelsLast(state.module)) {
    ToChannelsLast(state.module, compression.memory_name(), &loaded.memory);
  }
  ThrowIfError(compression.Load(loaded));
}

void ResumedCheckpoint::LoadMean(const TrainedState& state) const {
  const std::string_view memory = state.collective.compression()->memory_name();
  std::map<std::string, uint32_t> parameters;
  for (const auto& item : state.module.named_parameters()) {
    parameters[item.key()] = static_cast<uint32_t>(item.value().numel());
  }
  MemoryMean mean(shared_.world_size, memory, std::move(parameters));
  const bool channels_last = shared_.channels_last_shares;
  CompressorState loaded;
  for (int r = 0; r < shared_.world_size; ++r) {
    RankState of_rank = ReadRankState(path_ / RankFile(r));
    if (channels_last) ToChannelsLast(state.module, memory, &of_rank.compressor.memory);
    ThrowIfError(mean.Add(of_rank.compressor.memory, of_rank.owner));
    // Budgets and draws are the same on all ranks, energies add up.
    if (r == world_.rank() % shared_.world_size) loaded = std::move(of_rank.compressor);
  }
  loaded.memory = mean.Mean();
  if (channels_last) ToRowMajor(state.module, memory, &loaded.memory);
  LoadCompression(state, std::move(loaded));
  spdlog::info(
      "the checkpoint is of {} worker(s){}, there are {}{}: each begins with the mean of what the "
      "memories held, so that what is owed to the parameters stays the same",
      shared_.world_size, same_world_size() ? " that own entries" : "", world_.size(),
      !same_world_size()                           ? ""
      : state.collective.owner_memory() == nullptr ? " that own none"
                                                   : " that own others");
}

Json ResumedCheckpoint::LoadRest(const TrainedState& state) const {
  const Safetensors optimizer = Safetensors::Read(path_ / kOptimizer);
  OnAllRanks([&] { LoadOptimizer(optimizer, state.module, &state.optimizer); });
  const bool has_memory = state.collective.compression() != nullptr;
  if (!same_world_size()) {
    if (has_memory) LoadMean(state);
    return nullptr;
  }
  RankState own = ReadRankState(path_ / RankFile(world_.rank()));
  if (has_memory) {
    Memory* owner = state.collective.owner_memory();
    // All ranks decide alike: where one owned something, all of them may have.
    std::vector<double> owned{own.owner.empty() ? 0.0 : 1.0};
    world_.Sum(owned);
    const bool same_shares =
        owner != nullptr && shared_.channels_last_shares == HasChannelsLast(state.module);
    if (!same_shares && owned[0] > 0) {
      LoadMean(state);
    } else {
      LoadCompression(state, std::move(own.compressor));
      if (owner != nullptr) ThrowIfError(owner->Load(own.owner));
    }
  }
  SetGeneratorState(own.generator, state.module);
  return own.rest;
}

}  // namespace cddp

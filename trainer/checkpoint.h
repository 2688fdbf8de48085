// Checkpoints of a training run: written so that a run that goes on from one computes what
// the uninterrupted run computes, bit for bit.
//
// A checkpoint (checkpoint_folder.h) holds
//
//   model.safetensors       parameters and buffers
//   optimizer.safetensors   the optimiser's state
//   rank-<r>.safetensors    of each rank: memories, budgets, random generator, sums of the epoch
//   state.json              what was agreed on (flag -> value), the data's SHA-256, the plan of
//                           `auto`, and what the training loop wants to find again
//
// Every rank writes its own file, so the folder must be the same on all machines.
//
// Nothing in it depends on --channels-last but the owners' shares, of which state.json says so.
//
// With another number of ranks, or when nobody owns the same entries, each rank begins with
// the mean of what the old ones kept (collective/memory_mean.h), which conserves what is owed
// to the parameters.
#pragma once

#include <torch/torch.h>

#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "cddp/collective.h"
#include "ddp/world.h"
#include "trainer/checkpoint_folder.h"
#include "trainer/options.h"
#include "trainer/shared_state.h"

namespace cddp {

// What is saved and restored. All must outlive who uses it.
struct TrainedState {
  torch::nn::Module& module;
  torch::optim::Optimizer& optimizer;
  Collective& collective;
};

// What the training loop saves besides.
struct LoopState {
  uint64_t step = 0;        // steps done
  std::string data_sha256;  // DatasetSplits::sha256 of what is trained on
  nlohmann::json shared;    // the same on every rank
  nlohmann::json of_rank;   // this one's own
  bool is_best = false;
};

class CheckpointWriter {
 public:
  // `options` are resolved and must outlive this. Collective: throws SharedError(kUnavailable)
  // when rank 0 cannot write to `folder`, and SharedError(kInvalidArgument) naming the ranks
  // that do not see what it writes there.
  CheckpointWriter(const TrainOptions& options, World& world, std::filesystem::path folder);

  // Between two steps. Returns whether it was written, on every rank the same. If not, the
  // old ones are still there and rank 0 has logged why. Then removes what is older than
  // the last options.keep. Collective.
  bool Save(const TrainedState& state, const LoopState& loop);

  // Why the last attempt failed, as this rank knows it; empty when it did not.
  const std::string& failure() const { return failure_; }
  std::filesystem::path LastPath() const { return folder_.path() / "last"; }

  // Whether `best` is there, for rank 0. Collective.
  bool HasBest() const { return world_.AgreeOnNumber(folder_.HasBest() ? 1 : 0) == 1; }

 private:
  void RequireSharedFolder() const;
  void WriteShared(const TrainedState& state, const LoopState& loop, FileDigests* files) const;
  void Prune(uint64_t step) const;
  // What every rank has written; nothing when one of them could not.
  std::optional<FileDigests> DigestsOfRanks(const FileDigest* own);

  const TrainOptions& options_;
  World& world_;
  CheckpointFolder folder_;
  std::string failure_;
};

// A checkpoint to go on from.
class ResumedCheckpoint {
 public:
  // What options.resume names: a checkpoint; a folder of them, of which the newest whole one;
  // or "auto": the newest whole one of options.checkpoint_dir, nothing when there is none.
  // Logs on rank 0 what it has chosen, what was damaged, and which options differ from the
  // saved ones. Collective. Throws StatusError, on all ranks the same unless one does not see the
  // files: kUnavailable when there is none, kCorrupt when the one named or all in the folder are
  // damaged, kInvalidArgument when it is of a newer program, or holds memories of another kind
  // than --memory or the state of another --optimizer.
  static std::unique_ptr<ResumedCheckpoint> Find(const TrainOptions& options, World& world);

  const SharedState& shared() const { return shared_; }
  bool same_world_size() const { return shared_.world_size == world_.size(); }

  // For MakeTrainingCollective: the plan so far, if `auto` made one for as many ranks.
  const Plan* plan() const { return plan_ ? &*plan_ : nullptr; }

  // In the order in which they are needed. Throw StatusError(kInvalidArgument) that lists
  // what does not fit, and kCorrupt or kUnavailable for unreadable files.
  void LoadModule(torch::nn::Module& module) const;
  // The rest, and libtorch's generator (the last draw before training goes on). Returns
  // LoopState::of_rank, null with another number of ranks.
  nlohmann::json LoadRest(const TrainedState& state) const;

 private:
  ResumedCheckpoint(World& world, std::filesystem::path path)
      : world_(world), path_(std::move(path)) {}
  void Read(const TrainOptions& options);
  void RequireSameOptimizer(const TrainOptions& options) const;
  void RequireSameMemory(const TrainOptions& options) const;
  void RequireNoLaterOnes(const TrainOptions& options) const;
  void LogDifferences(const TrainOptions& options) const;
  // `loaded` as in the checkpoint.
  void LoadCompression(const TrainedState& state, CompressorState loaded) const;
  void LoadMean(const TrainedState& state) const;

  World& world_;
  std::filesystem::path path_;
  SharedState shared_;
  std::optional<Plan> plan_;
};

}  // namespace cddp

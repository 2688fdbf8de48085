// Where a run's checkpoints lie.
//
//   <folder>/step-1200/manifest.json   format version, and size and XXH3-64 of each file
//                     /...             the files
//           /last -> step-1200         the last one written
//           /best -> step-900          the one that was best
//
// A checkpoint is written under another name, flushed file by file, then its manifest,
// then renamed, and the folder flushed: under its own name it is whole, also after a
// crash of the machine. What a crash left behind is removed by the next one.
//
// Reading trusts nothing. One process writes to a folder at a time; the files of one
// checkpoint may come from several (the ranks).
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "trainer/safetensors.h"

namespace cddp {

// Grows when an older program could not read what is written.
inline constexpr int kCheckpointVersion = 1;

struct FileDigest {
  uint64_t bytes = 0;
  uint64_t xxh3 = 0;
};
using FileDigests = std::map<std::string, FileDigest>;

// Writes a file of an unfinished checkpoint and flushes it. Throws
// StatusError(kUnavailable), for a full disk too.
FileDigest WriteCheckpointFile(const std::filesystem::path& path, const SafetensorsParts& parts);
FileDigest WriteCheckpointFile(const std::filesystem::path& path, const nlohmann::json& json);

class CheckpointFolder {
 public:
  explicit CheckpointFolder(std::filesystem::path folder) : folder_(std::move(folder)) {}

  const std::filesystem::path& path() const { return folder_; }
  std::filesystem::path PathOf(uint64_t step) const;
  // Where its files are written until it is published.
  std::filesystem::path UnfinishedPathOf(uint64_t step) const;

  // Whether `best` points to a checkpoint.
  bool HasBest() const;

  // The steps of the checkpoints that are there, whole or not, ascending.
  std::vector<uint64_t> Steps() const;

  // These throw StatusError(kUnavailable).

  // Makes room for the files of a new one, and removes what was never finished.
  void Begin(uint64_t step) const;
  // The files are there: gives the checkpoint its name, in place of one of the same step,
  // and lets `last` point to it, and `best` if it is the best.
  void Publish(uint64_t step, const FileDigests& files, bool is_best) const;
  // Removes all up to `step` but the last `keep` and the best one.
  void Prune(uint64_t step, int keep) const;

  // Removes the unfinished one, as far as that can be done.
  void Discard(uint64_t step) const noexcept;

  // The newest whole checkpoint, or nothing when there is none at all. `skipped` is told of
  // each newer one that is damaged. Throws StatusError: kCorrupt when all are damaged,
  // kInvalidArgument when the newest was written by a newer program.
  std::optional<std::filesystem::path> NewestValid(
      const std::function<void(const std::string&)>& skipped) const;

 private:
  std::filesystem::path folder_;
};

// Whether `path` is a checkpoint (and no folder of them), damaged or not.
bool IsCheckpoint(const std::filesystem::path& path);

// Reads every file and compares. Throws StatusError: kCorrupt naming the file and what is
// wrong with it, kUnavailable when the manifest is missing, kInvalidArgument when the
// checkpoint is of a newer version.
void VerifyCheckpoint(const std::filesystem::path& path);

// `path` itself if it is a checkpoint, else the newest whole one in that folder, or in the
// folder `checkpoints` in it, as in a run's folder; verified.
// Throws as VerifyCheckpoint and NewestValid, and StatusError(kUnavailable) when there is none.
std::filesystem::path LocateCheckpoint(const std::filesystem::path& path,
                                       const std::function<void(const std::string&)>& skipped);

// A checkpoint's parameters and buffers.
std::filesystem::path ModelFile(const std::filesystem::path& checkpoint);

}  // namespace cddp

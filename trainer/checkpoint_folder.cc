#include "trainer/checkpoint_folder.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <stdio.h>
#include <unistd.h>
#include <xxhash.h>

#include <algorithm>
#include <cerrno>
#include <charconv>

#include "cddp/status.h"
#include "ddp/file_descriptor.h"
#include "trainer/data/file_bytes.h"

namespace cddp {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

constexpr const char* kManifest = "manifest.json";
constexpr std::string_view kStepPrefix = "step-";
constexpr const char* kLast = "last";
constexpr const char* kBest = "best";
constexpr uint64_t kMostManifestBytes = 16 << 20;

// Of a checkpoint's folder, if `name` is that of one.
std::optional<uint64_t> StepInName(const std::string& name) {
  if (!name.starts_with(kStepPrefix)) return std::nullopt;
  uint64_t step = 0;
  const char* end = name.data() + name.size();
  const auto [at, error] = std::from_chars(name.data() + kStepPrefix.size(), end, step);
  if (error != std::errc() || at != end) return std::nullopt;
  return step;
}

[[noreturn]] void ThrowCorrupt(const fs::path& path, const std::string& why) {
  throw StatusError(StatusCode::kCorrupt, fmt::format("{}: {}", path.string(), why));
}

// What the file system refuses, as the program's own error.
template <typename Work>
auto OnDisk(const Work& work) {
  try {
    return work();
  } catch (const fs::filesystem_error& error) {
    throw StatusError(StatusCode::kUnavailable, error.what());
  }
}

std::string Hex(uint64_t number) { return fmt::format("{:016x}", number); }

class FlushedFile {
 public:
  explicit FlushedFile(fs::path path)
      : path_(std::move(path)),
        file_(open(path_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644)),
        hash_(XXH3_createState(), XXH3_freeState) {
    if (file_.get() < 0) ThrowErrno("cannot create", path_);
    XXH3_64bits_reset(hash_.get());
  }

  void Write(std::span<const uint8_t> bytes) {
    XXH3_64bits_update(hash_.get(), bytes.data(), bytes.size());
    bytes_ += bytes.size();
    WriteAll(file_.get(), bytes, path_);
  }
  void Write(const std::string& text) {
    Write({reinterpret_cast<const uint8_t*>(text.data()), text.size()});
  }

  FileDigest Flush() {
    if (fsync(file_.get()) != 0) ThrowErrno("cannot flush", path_);
    return {.bytes = bytes_, .xxh3 = XXH3_64bits_digest(hash_.get())};
  }

 private:
  fs::path path_;
  FileDescriptor file_;
  std::unique_ptr<XXH3_state_t, decltype(&XXH3_freeState)> hash_;
  uint64_t bytes_ = 0;
};

void FlushFolder(const fs::path& folder) {
  const FileDescriptor file(open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  // One that cannot be read cannot be flushed, as on some file systems none can.
  if (file.get() < 0 && errno == EACCES) return;
  if (file.get() < 0 || (fsync(file.get()) != 0 && errno != EINVAL)) {
    ThrowErrno("cannot flush", folder);
  }
}

Json ManifestOf(uint64_t step, const FileDigests& files) {
  Json manifest{{"format", "cddp checkpoint"}, {"version", kCheckpointVersion}, {"step", step}};
  for (const auto& [name, digest] : files) {
    manifest["files"][name] = {{"bytes", digest.bytes}, {"xxh3", Hex(digest.xxh3)}};
  }
  return manifest;
}

// The manifest guards itself: the hash of all else in it.
std::string HashOf(Json manifest) {
  manifest.erase("xxh3");
  const std::string text = manifest.dump();
  return Hex(XXH3_64bits(text.data(), text.size()));
}

Json ReadManifest(const fs::path& checkpoint) {
  const fs::path path = checkpoint / kManifest;
  const std::vector<uint8_t> bytes = ReadFileBytes(path, kMostManifestBytes);
  try {
    const Json manifest = Json::parse(bytes);
    if (manifest.at("xxh3").get<std::string>() != HashOf(manifest)) {
      ThrowCorrupt(path, "its checksum does not fit its content");
    }
    if (const int version = manifest.at("version"); version > kCheckpointVersion) {
      throw StatusError(
          StatusCode::kInvalidArgument,
          fmt::format("{} is of format version {}, this program reads up to {}: it was written by "
                      "a newer cddp, go on with that",
                      checkpoint.string(), version, kCheckpointVersion));
    }
    return manifest;
  } catch (const Json::exception& error) {
    ThrowCorrupt(path, error.what());
  }
}

void VerifyFile(const fs::path& path, uint64_t bytes, const std::string& xxh3) {
  std::error_code error;
  const uint64_t size = fs::file_size(path, error);
  if (error) ThrowCorrupt(path, fmt::format("the checkpoint's file: {}", error.message()));
  if (size != bytes) ThrowCorrupt(path, fmt::format("{} bytes expected, {} found", bytes, size));
  const std::vector<uint8_t> content = ReadFileBytes(path, bytes);
  const std::string found = Hex(XXH3_64bits(content.data(), content.size()));
  if (found != xxh3) ThrowCorrupt(path, fmt::format("XXH3 {} expected, {} found", xxh3, found));
}

// Renames over what is there, in one step where the file system can.
void Replace(const fs::path& from, const fs::path& to) {
  if (rename(from.c_str(), to.c_str()) == 0) return;
  if (errno != ENOTEMPTY && errno != EEXIST) ThrowErrno("cannot put a checkpoint at", to);
  if (renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), RENAME_EXCHANGE) == 0) {
    fs::remove_all(from);
    return;
  }
  fs::remove_all(to);
  if (rename(from.c_str(), to.c_str()) != 0) ThrowErrno("cannot put a checkpoint at", to);
}

void PointTo(const fs::path& link, const fs::path& target) {
  const fs::path temporary = link.parent_path() / (kTemporaryMark + link.filename().string());
  std::error_code ignored;
  fs::remove(temporary, ignored);
  fs::create_directory_symlink(target, temporary);
  fs::rename(temporary, link);
}

}  // namespace

FileDigest WriteCheckpointFile(const fs::path& path, const SafetensorsParts& parts) {
  FlushedFile file(path);
  file.Write(parts.header);
  for (const auto& tensor : parts.tensors) file.Write(tensor);
  return file.Flush();
}

FileDigest WriteCheckpointFile(const fs::path& path, const Json& json) {
  FlushedFile file(path);
  file.Write(json.dump(1) + '\n');
  return file.Flush();
}

fs::path CheckpointFolder::PathOf(uint64_t step) const {
  return folder_ / fmt::format("{}{}", kStepPrefix, step);
}

fs::path CheckpointFolder::UnfinishedPathOf(uint64_t step) const {
  return folder_ / fmt::format("{}{}{}", kTemporaryMark, kStepPrefix, step);
}

std::vector<uint64_t> CheckpointFolder::Steps() const {
  std::vector<uint64_t> steps;
  std::error_code missing;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder_, missing)) {
    if (const auto step = StepInName(entry.path().filename().string())) steps.push_back(*step);
  }
  std::ranges::sort(steps);
  return steps;
}

bool CheckpointFolder::HasBest() const { return IsCheckpoint(folder_ / kBest); }

void CheckpointFolder::Begin(uint64_t step) const {
  OnDisk([&] {
    // What is new must last in the folders above, too.
    std::vector<fs::path> above;
    for (fs::path made = fs::absolute(folder_); !fs::exists(made); made = made.parent_path()) {
      above.push_back(made.parent_path());
    }
    fs::create_directories(folder_);
    for (const fs::path& folder : above) FlushFolder(folder);
    for (const fs::directory_entry& entry : fs::directory_iterator(folder_)) {
      if (IsTemporaryName(entry.path().filename().string())) fs::remove_all(entry.path());
    }
    fs::create_directory(UnfinishedPathOf(step));
  });
}

void CheckpointFolder::Publish(uint64_t step, const FileDigests& files, bool is_best) const {
  const fs::path unfinished = UnfinishedPathOf(step);
  Json manifest = ManifestOf(step, files);
  manifest["xxh3"] = HashOf(manifest);
  WriteCheckpointFile(unfinished / kManifest, manifest);
  FlushFolder(unfinished);
  OnDisk([&] { Replace(unfinished, PathOf(step)); });
  // It is there now, found by its name; not every file system has links.
  try {
    PointTo(folder_ / kLast, PathOf(step).filename());
    if (is_best) PointTo(folder_ / kBest, PathOf(step).filename());
  } catch (const fs::filesystem_error& error) {
    spdlog::warn("no link points to the checkpoint of step {}: {}", step, error.what());
  }
  FlushFolder(folder_);
}

void CheckpointFolder::Prune(uint64_t step, int keep) const {
  std::vector<uint64_t> steps = Steps();
  std::erase_if(steps, [&](uint64_t other) { return other > step; });
  std::error_code none;
  const fs::path best = fs::read_symlink(folder_ / kBest, none);
  for (size_t i = 0; i + static_cast<size_t>(keep) < steps.size(); ++i) {
    if (PathOf(steps[i]).filename() == best) continue;
    OnDisk([&] { fs::remove_all(PathOf(steps[i])); });
  }
}

void CheckpointFolder::Discard(uint64_t step) const noexcept {
  std::error_code ignored;
  fs::remove_all(UnfinishedPathOf(step), ignored);
}

std::optional<fs::path> CheckpointFolder::NewestValid(
    const std::function<void(const std::string&)>& skipped) const {
  std::vector<uint64_t> steps = Steps();
  std::ranges::reverse(steps);
  for (const uint64_t step : steps) {
    try {
      VerifyCheckpoint(PathOf(step));
      return PathOf(step);
    } catch (const StatusError& error) {
      if (error.code() == StatusCode::kInvalidArgument) throw;
      skipped(error.what());
    }
  }
  if (!steps.empty()) {
    throw StatusError(StatusCode::kCorrupt,
                      fmt::format("{}: all its checkpoints ({}) are damaged; to begin anew, remove "
                                  "them or name another folder",
                                  folder_.string(), steps.size()));
  }
  return std::nullopt;
}

bool IsCheckpoint(const fs::path& path) {
  std::error_code error;
  return fs::exists(path / kManifest, error) ||
         StepInName(fs::canonical(path, error).filename().string());
}

void VerifyCheckpoint(const fs::path& path) {
  const Json manifest = ReadManifest(path);
  try {
    for (const auto& [name, digest] : manifest.at("files").items()) {
      // The manifest is not from here for certain.
      if (fs::path(name).filename() != name || name == "..") {
        ThrowCorrupt(path / kManifest, fmt::format("\"{}\" is no name of a file", name));
      }
      VerifyFile(path / name, digest.at("bytes"), digest.at("xxh3"));
    }
  } catch (const Json::exception& error) {
    ThrowCorrupt(path / kManifest, error.what());
  }
}

fs::path LocateCheckpoint(const fs::path& path,
                          const std::function<void(const std::string&)>& skipped) {
  if (IsCheckpoint(path)) {
    VerifyCheckpoint(path);
    return path;
  }
  for (const fs::path& folder : {path, path / "checkpoints"}) {
    if (const auto newest = CheckpointFolder(folder).NewestValid(skipped)) return *newest;
  }
  throw StatusError(StatusCode::kUnavailable,
                    fmt::format("{} is no checkpoint, and there is none in it", path.string()));
}

fs::path ModelFile(const fs::path& checkpoint) { return checkpoint / "model.safetensors"; }

}  // namespace cddp

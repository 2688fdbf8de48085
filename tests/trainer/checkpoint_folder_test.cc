#include "trainer/checkpoint_folder.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <iostream>

#include "cddp/status.h"
#include "tests/expect_refusal.h"
#include "trainer/commands.h"
#include "trainer/data/file_bytes.h"
#include "trainer/data/temporary_folder.h"

namespace cddp {
namespace {

namespace fs = std::filesystem;

std::string TextOf(const fs::path& path) {
  const std::vector<uint8_t> bytes = ReadFileBytes(path, 1 << 20);
  return {bytes.begin(), bytes.end()};
}

void Rewrite(const fs::path& path, const std::string& text) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << text;
}

// Runs `work` in a process of its own and kills it before its system call number `call`, from 1.
// Returns whether it ended well before that.
bool EndsBeforeItsCall(int call, const std::function<void()>& work) {
  const pid_t child = fork();
  if (child == 0) {
    if (ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) != 0) _exit(2);
    raise(SIGSTOP);
    try {
      work();
    } catch (const std::exception&) {
      _exit(1);
    }
    _exit(0);
  }
  int status = 0;
  EXPECT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFSTOPPED(status)) << "ptrace is not allowed here";
  // It stops before each call and after it.
  for (int stop = 0; WIFSTOPPED(status); ++stop) {
    if (stop == 2 * call - 1) {
      kill(child, SIGKILL);
    } else if (ptrace(PTRACE_SYSCALL, child, nullptr, nullptr) != 0) {
      ADD_FAILURE() << "it cannot be let on: " << std::strerror(errno);
      kill(child, SIGKILL);
    }
    waitpid(child, &status, 0);
  }
  if (!WIFEXITED(status)) return false;
  EXPECT_EQ(WEXITSTATUS(status), 0) << "it failed";
  return true;
}

class Checkpoints : public testing::Test {
 protected:
  void Write(uint64_t step, bool is_best = false) {
    folder_.Begin(step);
    const fs::path unfinished = folder_.UnfinishedPathOf(step);
    FileDigests files;
    files["state.json"] =
        WriteCheckpointFile(unfinished / "state.json", nlohmann::json{{"step", step}});
    files["model"] =
        WriteCheckpointFile(unfinished / "model", LayOutSafetensors({{"a", ViewOf(values_)}}, {}));
    folder_.Publish(step, files, is_best);
  }

  // Why a checkpoint is refused.
  std::string Refusal(uint64_t step, StatusCode code = StatusCode::kCorrupt) {
    try {
      VerifyCheckpoint(folder_.PathOf(step));
    } catch (const StatusError& error) {
      EXPECT_EQ(error.code(), code) << error.what();
      return error.what();
    }
    ADD_FAILURE() << "step " << step << " is taken for whole";
    return {};
  }

  std::optional<fs::path> Newest() {
    skipped_.clear();
    return folder_.NewestValid([&](const std::string& why) { skipped_.push_back(why); });
  }

  const TemporaryFolder temporary_;
  const CheckpointFolder folder_{temporary_.path() / "new" / "checkpoints"};
  const std::vector<float> values_{1.5f, 2.5f};
  std::vector<std::string> skipped_;
};

TEST_F(Checkpoints, NewestIsFound) {
  EXPECT_EQ(Newest(), std::nullopt);
  for (const uint64_t step : {9, 10, 100}) Write(step);
  EXPECT_EQ(folder_.Steps(), (std::vector<uint64_t>{9, 10, 100}));
  EXPECT_EQ(Newest(), folder_.PathOf(100));
  EXPECT_TRUE(skipped_.empty());
  EXPECT_EQ(fs::read_symlink(folder_.path() / "last"), "step-100");
  EXPECT_FALSE(fs::exists(folder_.path() / "best"));
  EXPECT_TRUE(IsCheckpoint(folder_.path() / "last"));
  EXPECT_FALSE(IsCheckpoint(folder_.path()));
}

TEST_F(Checkpoints, FoldersOfOtherNamesAreNone) {
  for (const char* name : {"step-", "step-decay", "step-3-old", "step-12"}) {
    fs::create_directories(temporary_.path() / name);
    EXPECT_EQ(IsCheckpoint(temporary_.path() / name), std::string_view(name) == "step-12") << name;
  }
}

// As on a file system that has none.
TEST_F(Checkpoints, WithoutLinksTheyAreThere) {
  fs::create_directories(folder_.path() / "last" / "in the way");
  Write(3, /*is_best=*/true);
  EXPECT_EQ(Newest(), folder_.PathOf(3));
}

// A checkpoint that is cut off, changed in any bit, or not complete is not taken.
TEST_F(Checkpoints, DamagedOneFallsBackToTheOneBefore) {
  Write(1);
  Write(2);
  const fs::path path = folder_.PathOf(2);
  int damaged = 0;
  for (const char* name : {"manifest.json", "state.json", "model"}) {
    const std::string whole = TextOf(path / name);
    // But for the new line at its end, which the manifest can do without.
    for (size_t at = 0; at + 1 < whole.size(); ++at) {
      Rewrite(path / name, whole.substr(0, at));
      ASSERT_EQ(Newest(), folder_.PathOf(1)) << name << " cut at " << at;
      ++damaged;
      for (const size_t bit : {at % 8, (at + 3) % 8, (at + 6) % 8}) {
        std::string flipped = whole;
        flipped[at] = static_cast<char>(flipped[at] ^ (1 << bit));
        Rewrite(path / name, flipped);
        // White space of the manifest means nothing.
        if (Newest() != folder_.PathOf(1)) {
          ASSERT_TRUE(name == std::string("manifest.json") && std::isspace(whole[at]))
              << name << " changed at " << at;
          continue;
        }
        ASSERT_EQ(skipped_.size(), 1u);
        ASSERT_NE(skipped_[0].find(name), std::string::npos) << skipped_[0];
        ++damaged;
      }
    }
    Rewrite(path / name, whole);
  }
  std::cout << damaged << " damaged checkpoints, all found\n";
  EXPECT_GE(damaged, 1000);
  EXPECT_EQ(Newest(), folder_.PathOf(2));
  fs::remove(path / "model");
  EXPECT_NE(Refusal(2).find("model: the checkpoint's file: No such file"), std::string::npos);
  fs::remove(path / "manifest.json");
  Refusal(2, StatusCode::kUnavailable);
  EXPECT_TRUE(IsCheckpoint(path));
}

TEST_F(Checkpoints, NewerFormatIsAnErrorNotAFallback) {
  Write(1);
  Write(2);
  // The hash is that of the manifest itself, as a newer program would write it.
  const fs::path manifest = folder_.PathOf(2) / "manifest.json";
  nlohmann::json json = nlohmann::json::parse(TextOf(manifest));
  json["version"] = 2;
  json.erase("xxh3");
  const fs::path copy = temporary_.path() / "copy";
  const std::string text = json.dump();
  // Hashing the same bytes as a file of a checkpoint gives the number.
  SafetensorsParts parts;
  parts.header = text;
  json["xxh3"] = fmt::format("{:016x}", WriteCheckpointFile(copy, parts).xxh3);
  Rewrite(manifest, json.dump());
  const std::string refusal = Refusal(2, StatusCode::kInvalidArgument);
  EXPECT_NE(refusal.find("version 2, this program reads up to 1"), std::string::npos) << refusal;
  EXPECT_THROW(Newest(), StatusError);
}

TEST_F(Checkpoints, NamesInTheManifestStayInside) {
  Write(1);
  folder_.Begin(2);
  folder_.Publish(2, {{"../step-1/model", {.bytes = 1, .xxh3 = 1}}}, false);
  EXPECT_NE(Refusal(2).find("no name of a file"), std::string::npos);
}

TEST_F(Checkpoints, BestAndTheLastOnesAreKept) {
  for (uint64_t step = 1; step <= 5; ++step) {
    Write(step, step == 2);
    folder_.Prune(step, 2);
  }
  EXPECT_EQ(folder_.Steps(), (std::vector<uint64_t>{2, 4, 5}));
  EXPECT_EQ(fs::read_symlink(folder_.path() / "best"), "step-2");
  Write(6, true);
  folder_.Prune(6, 2);
  EXPECT_EQ(folder_.Steps(), (std::vector<uint64_t>{5, 6}));
  // A run that fell back to step 4 does not take what it will write for old.
  Write(4);
  folder_.Prune(4, 1);
  EXPECT_EQ(folder_.Steps(), (std::vector<uint64_t>{4, 5, 6}));
}

TEST_F(Checkpoints, SameStepIsReplaced) {
  Write(1);
  Rewrite(folder_.PathOf(1) / "model", "damaged");
  ExpectRefusal([&] { Newest(); }, StatusCode::kCorrupt,
                {folder_.path().string(), "all its checkpoints (1) are damaged", "remove"});
  Write(1);
  EXPECT_EQ(Newest(), folder_.PathOf(1));
  EXPECT_EQ(folder_.Steps().size(), 1u);
}

TEST_F(Checkpoints, WhatWasNeverFinishedIsNoCheckpoint) {
  Write(1);
  folder_.Begin(2);
  Rewrite(folder_.UnfinishedPathOf(2) / "model", "half");
  EXPECT_EQ(Newest(), folder_.PathOf(1));
  folder_.Begin(3);
  EXPECT_FALSE(fs::exists(folder_.UnfinishedPathOf(2)));
  folder_.Discard(3);
  EXPECT_FALSE(fs::exists(folder_.UnfinishedPathOf(3)));
}

// Reliability scorecard. What a killed process has written stays: this is no loss of power.
TEST_F(Checkpoints, KilledAtEachSystemCallLeavesAWholeOne) {
  int calls = 0;
  int old_ones = 0;
  for (bool ended = false; !ended;) {
    fs::remove_all(folder_.path());
    Write(1);
    ended = EndsBeforeItsCall(++calls, [&] {
      Write(2, true);
      Write(2);  // in place of one of the same step
      folder_.Prune(2, 1);
    });
    const std::optional<fs::path> newest = Newest();
    ASSERT_TRUE(newest.has_value()) << "call " << calls;
    EXPECT_TRUE(skipped_.empty()) << "call " << calls << ": " << skipped_[0];
    EXPECT_NO_THROW(VerifyCheckpoint(folder_.path() / "last")) << "call " << calls;
    if (*newest == folder_.PathOf(1)) ++old_ones;
    // The next one finds nothing in its way and removes what was left.
    Write(3);
    folder_.Prune(3, 1);
    EXPECT_EQ(Newest(), folder_.PathOf(3)) << "call " << calls;
    for (const fs::directory_entry& entry : fs::directory_iterator(folder_.path())) {
      const std::string name = entry.path().filename().string();
      EXPECT_TRUE(name == "last" || name == "best" || name.starts_with("step-"))
          << "call " << calls << " left " << name;
    }
  }
  fmt::print("killed before each of {} system calls, {} times the old one was left\n", calls - 1,
             old_ones);
  EXPECT_GT(calls, 50);
  EXPECT_GT(old_ones, 10);
  EXPECT_LT(old_ones, calls - 10);
}

// The limit on a file's size stands for a full disk: write() fails in the same way.
TEST_F(Checkpoints, FullDiskLeavesTheOldOne) {
  Write(1);
  rlimit before{};
  getrlimit(RLIMIT_FSIZE, &before);
  const rlimit small{.rlim_cur = 100, .rlim_max = before.rlim_max};
  const auto action = signal(SIGXFSZ, SIG_IGN);
  setrlimit(RLIMIT_FSIZE, &small);
  std::string why;
  try {
    Write(2);
  } catch (const StatusError& error) {
    EXPECT_EQ(error.code(), StatusCode::kUnavailable);
    why = error.what();
  }
  setrlimit(RLIMIT_FSIZE, &before);
  signal(SIGXFSZ, action);
  EXPECT_NE(why.find("File too large"), std::string::npos) << why;
  folder_.Discard(2);
  EXPECT_EQ(Newest(), folder_.PathOf(1));
}

TEST_F(Checkpoints, FolderThatCannotBeMadeIsNamed) {
  Rewrite(temporary_.path() / "file", "");
  const CheckpointFolder below(temporary_.path() / "file" / "checkpoints");
  try {
    below.Begin(1);
    ADD_FAILURE();
  } catch (const StatusError& error) {
    EXPECT_EQ(error.code(), StatusCode::kUnavailable);
    EXPECT_NE(std::string(error.what()).find("file/checkpoints"), std::string::npos)
        << error.what();
  }
}

TEST_F(Checkpoints, ExportedWeightsComeBack) {
  const fs::path output = temporary_.path() / "weights.safetensors";
  folder_.Begin(7);
  const fs::path model = ModelFile(folder_.UnfinishedPathOf(7));
  const FileDigest digest =
      WriteCheckpointFile(model, LayOutSafetensors({{"fc.weight", ViewOf(values_)}}, {}));
  folder_.Publish(7, {{model.filename(), digest}}, false);
  for (const fs::path& from : {folder_.path(), folder_.PathOf(7), folder_.path() / "last"}) {
    EXPECT_EQ(ExportCommand(from.string(), output.string()), 0);
    const Safetensors read = Safetensors::Read(output);
    ASSERT_EQ(read.tensors().size(), 1u);
    EXPECT_EQ(read.metadata(), (TensorMetadata{{"format", "pt"}}));
    const TensorView& weight = read.tensors().at("fc.weight");
    EXPECT_TRUE(std::ranges::equal(weight.bytes, ViewOf(values_).bytes));
    fs::remove(output);
  }
  Rewrite(ModelFile(folder_.PathOf(7)), "damaged");
  EXPECT_THROW(ExportCommand(folder_.PathOf(7).string(), output.string()), StatusError);
  EXPECT_THROW(ExportCommand(folder_.path().string(), output.string()), StatusError);
  EXPECT_THROW(ExportCommand("/nowhere", output.string()), StatusError);
  EXPECT_FALSE(fs::exists(output));
}

}  // namespace
}  // namespace cddp

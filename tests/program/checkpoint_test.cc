// Checkpoints from outside: runs that are interrupted and go on end with the same parameters.
#include <signal.h>

#include <algorithm>
#include <fstream>

#include "tests/program/program.h"

namespace cddp {
namespace {

namespace fs = std::filesystem;

class CheckpointTest : public ProgramTest {
 protected:
  // Two epochs of 16 steps of two workers.
  static std::vector<std::string> Training(const std::vector<std::string>& more) {
    std::vector<std::string> arguments =
        Train({"--workers", "2", "--threads", "1", "--epochs", "2", "--batch-size", "16",
               "--max-train-samples", "500", "--schedule", "cosine", "--seed", "3", "--json",
               "result.json"});
    arguments.insert(arguments.end(), more.begin(), more.end());
    return arguments;
  }

  // Runs to the end and returns what it reports.
  nlohmann::json Result(const std::vector<std::string>& more) {
    Child child = Start(Training(more));
    EXPECT_EQ(child.Wait(), 0) << child.err();
    log_ = child.err();
    return Json("result.json");
  }

  // The program with a limit on the size of its files, in blocks of 512 bytes.
  Child WithFilesOf(int blocks, const std::vector<std::string>& arguments) {
    std::string command = "ulimit -f " + std::to_string(blocks) + "; exec " + CDDP_PROGRAM;
    for (const std::string& argument : arguments) command += " '" + argument + "'";
    return Child({"/bin/sh", "-c", command}, {}, folder_.path());
  }

  void ExpectLogged(const std::string& part) const {
    EXPECT_NE(log_.find(part), std::string::npos) << log_;
  }

  bool WaitFor(const fs::path& path) const {
    const auto deadline = std::chrono::steady_clock::now() + seconds(120);
    while (!fs::exists(path)) {
      if (std::chrono::steady_clock::now() > deadline) return false;
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    return true;
  }

  std::string log_;
};

using Options = std::vector<std::string>;

Options operator+(Options options, const Options& more) {
  options.insert(options.end(), more.begin(), more.end());
  return options;
}

const Options kDense{};
const Options kGather{"--compress", "--collective",    "gather", "--memory",
                      "residual",   "--momentum",      "0",      "--adaptive-ratio",
                      "6",          "--warmup-epochs", "1"};
const Options kSplit{"--compress",     "--collective", "split",         "--stochastic-rounding",
                     "--warmup-steps", "20",           "--whole-limit", "2048"};
const Options kChannelsLast{"--compress",      "--model",      "resnet8",
                            "--channels-last", "--collective", "split"};

// From the middle of an epoch, and with what keeps the most also from its end and the run's.
TEST_F(CheckpointTest, GoesOnToTheBit) {
  for (const Options& how : {kDense, kGather, kSplit, kChannelsLast}) {
    SCOPED_TRACE(how.empty() ? "dense" : how[2]);
    const nlohmann::json whole = Result(how + Options{"--save-every", "0"});
    const Options into = how + Options{"--checkpoint-dir", "checkpoints"};
    EXPECT_EQ(Result(into + Options{"--save-every-steps", "5", "--keep", "100"})["parameters_xxh3"],
              whole["parameters_xxh3"])
        << "saving changes nothing";
    for (const char* step : {"5", "16", "25", "32"}) {
      if (how != kSplit && std::string_view(step) != "25") continue;
      const nlohmann::json resumed = Result(
          how + Options{"--resume", std::string("checkpoints/step-") + step, "--save-every", "0"});
      EXPECT_EQ(resumed["parameters_xxh3"], whole["parameters_xxh3"]) << "from step " << step;
      EXPECT_EQ(resumed["steps"], whole["steps"]);
      ASSERT_EQ(resumed["history"].size(), 2u);
      for (int epoch = 0; epoch < 2; ++epoch) {
        for (const char* key : {"train_loss", "train_accuracy_percent", "test_loss"}) {
          EXPECT_EQ(resumed["history"][epoch][key], whole["history"][epoch][key]) << key;
        }
      }
    }
    fs::remove_all(folder_.path() / "checkpoints");
  }
}

// With the plan of the run that was interrupted, once it has tried all ways that it wants to.
TEST_F(CheckpointTest, PlanOfAutoGoesOn) {
  const Options how{"--compress", "--epochs", "12"};
  const nlohmann::json whole = Result(
      how + Options{"--checkpoint-dir", "checkpoints", "--save-every-steps", "8", "--keep", "100"});
  int settled = 8;
  for (; settled < 12 * 16; settled += 8) {
    if (Json("checkpoints/step-" + std::to_string(settled) + "/state.json")["plan_settled"]) break;
  }
  ASSERT_LT(settled, 12 * 16);
  const nlohmann::json resumed =
      Result(how + Options{"--resume", "checkpoints/step-" + std::to_string(settled),
                           "--save-every", "0"});
  const auto plan_of = [&](const fs::path& run) {
    return nlohmann::json::parse(ReadText(run / "plan.json"));
  };
  std::vector<fs::path> runs = Runs();
  std::ranges::sort(runs);
  ASSERT_EQ(runs.size(), 2u);
  const nlohmann::json plan = plan_of(runs[0]);
  // Unless the steps' times have changed after the checkpoint, the bytes are the same.
  if (plan["changes"].back()["step"] <= settled) {
    EXPECT_EQ(plan_of(runs[1]), plan);
    EXPECT_EQ(resumed["parameters_xxh3"], whole["parameters_xxh3"]);
  }
  // Of another ratio it says nothing: that is tried anew.
  Result({"--compress", "--epochs", std::to_string(settled / 16 + 1), "--ratio", "0.1", "--resume",
          "checkpoints/step-" + std::to_string(settled), "--checkpoint-dir", "other",
          "--save-every-steps", "1", "--keep", "100"});
  EXPECT_EQ(Json("other/step-" + std::to_string(settled + 1) + "/state.json")["plan_settled"],
            false);
}

// Memories are kept by parameter, not by bucket; a plan is of its buckets, and made anew.
TEST_F(CheckpointTest, AnotherBucketSizeGoesOn) {
  for (const Options& how : {Options{"--compress", "--collective", "auto"}, kSplit}) {
    SCOPED_TRACE(how[2]);
    Result(how + Options{"--checkpoint-dir", "checkpoints", "--epochs", "3"});
    const nlohmann::json plan = Json("checkpoints/last/state.json").value("plan", nlohmann::json());
    EXPECT_EQ(plan.is_null() || plan["changes"].empty(), how == kSplit) << plan;
    const nlohmann::json resumed =
        Result(how + Options{"--resume", "checkpoints", "--epochs", "4", "--bucket-mb", "0.004",
                             "--save-every", "0"});
    EXPECT_EQ(resumed["steps"], 4 * 16);
    ExpectLogged("--bucket-mb");
    fs::remove_all(folder_.path() / "checkpoints");
  }
}

TEST_F(CheckpointTest, KilledAtAnyMomentGoesOn) {
  for (const Options& how : {kDense, kSplit}) {
    const nlohmann::json whole = Result(how + Options{"--save-every", "0"});
    const Options into =
        how +
        Options{"--checkpoint-dir", "checkpoints", "--resume", "auto", "--save-every-steps", "1"};
    for (const char* step : {"step-3", "step-19"}) {
      // In a session of its own: so all its processes are killed at once.
      Child child(Options{"/usr/bin/setsid", CDDP_PROGRAM} + Training(into), {}, folder_.path());
      ASSERT_TRUE(WaitFor(folder_.path() / "checkpoints" / step)) << child.err();
      kill(-child.pid(), SIGKILL);
      EXPECT_EQ(child.Wait(), 128 + SIGKILL);
    }
    EXPECT_EQ(Result(into)["parameters_xxh3"], whole["parameters_xxh3"]);
    fs::remove_all(folder_.path() / "checkpoints");
  }
}

TEST_F(CheckpointTest, SignalsSaveAndEndWith75) {
  // Long enough for the workers to ask each other, which they do once a second.
  const Options how = kSplit + Options{"--max-train-samples", "7500"};
  const nlohmann::json whole = Result(how + Options{"--save-every", "0"});
  const Options into = how + Options{"--checkpoint-dir", "checkpoints", "--resume", "auto"};
  for (const int signal : {SIGTERM, SIGUSR1}) {
    Child child = Start(Training(into + Options{"--save-every-steps", "20", "--keep", "100"}));
    ASSERT_TRUE(
        WaitFor(folder_.path() / "checkpoints" / (signal == SIGTERM ? "step-20" : "step-160")));
    child.Signal(signal);
    ASSERT_EQ(child.Wait(seconds(10)), 75) << child.err();
    EXPECT_NE(child.err().find("go on with --resume checkpoints/last"), std::string::npos)
        << child.err();
  }
  EXPECT_EQ(Result(into)["parameters_xxh3"], whole["parameters_xxh3"]);
}

// One of two workers that were started one by one gets the signal: both stop.
TEST_F(CheckpointTest, OneWorkersSignalStopsAll) {
  const Options how{"--epochs",           "100", "--checkpoint-dir", "checkpoints",
                    "--save-every-steps", "3"};
  Child first = StartWorker(0, 2, how);
  Child second = StartWorker(1, 2, how);
  ASSERT_TRUE(WaitFor(folder_.path() / "checkpoints" / "last")) << first.err();
  second.Signal(SIGUSR1);
  EXPECT_EQ(second.Wait(seconds(10)), 75) << second.err();
  EXPECT_EQ(first.Wait(seconds(10)), 75) << first.err();
}

TEST_F(CheckpointTest, DamagedOneFallsBackAndSaysSo) {
  const nlohmann::json whole =
      Result(kSplit + Options{"--checkpoint-dir", "checkpoints", "--save-every-steps", "10",
                              "--keep", "100"});
  const fs::path folder = folder_.path() / "checkpoints";
  const auto flip = [&](const fs::path& path) {
    std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
    file.seekg(1000);
    const auto byte = static_cast<char>(file.get() ^ 4);
    file.seekp(1000);
    file.put(byte);
  };
  flip(folder / "step-32" / "rank-00001.safetensors");
  fs::resize_file(folder / "step-30" / "model.safetensors", 1'000'000);
  EXPECT_EQ(
      Result(kSplit + Options{"--resume", "checkpoints", "--save-every", "0"})["parameters_xxh3"],
      whole["parameters_xxh3"]);
  ExpectLogged("step-32/rank-00001.safetensors: XXH3");
  ExpectLogged("1000000 found");
  ExpectLogged("going on after step 20");
  // The one that is named is that one.
  Child named = Start(Training(kSplit + Options{"--resume", "checkpoints/step-32"}));
  EXPECT_EQ(named.Wait(), 5) << named.err();

  // Where none is whole, nothing is begun anew over them, and nobody is taken for lost.
  for (const char* step : {"step-10", "step-16", "step-20"}) {
    if (fs::exists(folder / step)) flip(folder / step / "state.json");
  }
  const auto written = fs::last_write_time(folder / "step-32" / "state.json");
  Child none =
      Start(Training(kSplit + Options{"--checkpoint-dir", "checkpoints", "--resume", "auto"}));
  EXPECT_EQ(none.Wait(), 5) << none.err();
  EXPECT_NE(none.err().find("checkpoints: all its checkpoints ("), std::string::npos) << none.err();
  EXPECT_EQ(none.err().find("was lost"), std::string::npos) << none.err();
  EXPECT_EQ(fs::last_write_time(folder / "step-32" / "state.json"), written);
}

// What a run wrote last is its folder's name.
TEST_F(CheckpointTest, ARunsFolderStandsForItsCheckpoints) {
  Result(kDense + Options{"--epochs", "1"});
  const fs::path run = Runs().front();
  Child test = Start({"test", "--checkpoint", run.string(), "--data-dir", CDDP_DATA, "--no-plots",
                      "--max-test-samples", "100"});
  EXPECT_EQ(test.Wait(), 0) << test.err();
  Result(kDense + Options{"--epochs", "1", "--resume", run.string(), "--save-every", "0"});
  ExpectLogged("nothing is left to train: the checkpoint has all 1 epochs");
}

TEST_F(CheckpointTest, AnotherNumberOfWorkersGoesOn) {
  Result(kSplit +
         Options{"--checkpoint-dir", "checkpoints", "--save-every-steps", "10", "--keep", "100"});
  for (const char* workers : {"1", "3"}) {
    const nlohmann::json resumed =
        Result(kSplit + Options{"--workers", workers, "--resume", "checkpoints/step-20"});
    ExpectLogged("the checkpoint is of 2 worker(s)");
    EXPECT_EQ(resumed["history"].size(), 2u);
    EXPECT_GT(resumed["test_accuracy_percent"], 50);
  }
}

TEST_F(CheckpointTest, WhatDoesNotFitIsNamed) {
  Result(kSplit + Options{"--checkpoint-dir", "checkpoints", "--epochs", "1"});
  Result(kSplit + Options{"--resume", "checkpoints", "--lr", "0.01", "--save-every", "0"});
  ExpectLogged("--lr: 0.05 then, 0.01 now");
  const size_t runs = Runs().size();
  const auto refused = [&](const Options& options) {
    Child child = Start(Training(options));
    EXPECT_EQ(child.Wait(), 2) << child.err();
    EXPECT_EQ(Runs().size(), runs) << "no folder of a run that never began";
    return child.err();
  };
  EXPECT_NE(refused({"--resume", "checkpoints"}).find("--compress --memory dgc"),
            std::string::npos);
  // Which keeps something else under the same name.
  EXPECT_NE(refused(kSplit + Options{"--optimizer", "lars", "--resume", "checkpoints"})
                .find("go on with --optimizer sgd"),
            std::string::npos);
  EXPECT_NE(refused({"--resume", "nowhere"}).find("nowhere"), std::string::npos);
  EXPECT_NE(refused({"--resume", "auto"}).find("--checkpoint-dir"), std::string::npos);
  fs::copy(folder_.path() / "checkpoints", folder_.path() / "others", fs::copy_options::recursive);
  for (const Options& other : {Options{"--checkpoint-dir", "checkpoints"},
                               Options{"--checkpoint-dir", "checkpoints", "--resume", "others"}}) {
    EXPECT_NE(refused(kSplit + other)
                  .find("--checkpoint-dir checkpoints holds checkpoints of "
                        "another run: go on with --resume auto"),
              std::string::npos)
        << "another run's checkpoints are not mixed with this one's";
  }
}

// All refuse alike, at the same moment: none of them is a worker that was lost.
TEST_F(CheckpointTest, WhatAllRefuseIsNobodysLoss) {
  Result(kSplit + Options{"--checkpoint-dir", "checkpoints", "--epochs", "1"});
  for (const Options& wrong : {Options{"--memory", "residual"}, Options{"--optimizer", "lars"}}) {
    fs::remove(folder_.path() / "meeting");
    std::vector<Child> workers;
    for (int rank = 0; rank < 4; ++rank) {
      workers.push_back(
          StartWorker(rank, 4, Options{"--compress", "--resume", "checkpoints"} + wrong));
    }
    for (Child& worker : workers) {
      EXPECT_EQ(worker.Wait(seconds(60)), 2) << worker.err();
      EXPECT_EQ(worker.err().find("was lost"), std::string::npos) << worker.err();
    }
  }
}

// As on two machines: the same path, but not the same folder.
TEST_F(CheckpointTest, AFolderThatIsNotSharedIsToldFirst) {
  const TestFolder elsewhere;
  const auto start = [&](const char* rank, const fs::path& folder) {
    return Child(Options{CDDP_PROGRAM} +
                     Train({"--checkpoint-dir", "checkpoints", "--threads", "1", "--rendezvous",
                            "file:" + (folder_.path() / "meeting").string()}),
                 {{"RANK", rank}, {"WORLD_SIZE", "2"}}, folder);
  };
  Child first = start("0", folder_.path()), second = start("1", elsewhere.path());
  for (Child* worker : {&first, &second}) {
    EXPECT_EQ(worker->Wait(seconds(60)), 2) << worker->err();
    for (const char* part : {"rank 1 does not see", "--checkpoint-dir", "--save-every 0"}) {
      EXPECT_NE(worker->err().find(part), std::string::npos) << worker->err();
    }
  }
  EXPECT_TRUE(fs::is_empty(folder_.path() / "checkpoints"));
}

// The best one so far lies in the folder of the run before; this one needs its own.
TEST_F(CheckpointTest, AResumedRunHasABestOne) {
  Result({"--epochs", "1"});
  const fs::path before = Runs().at(0);
  Result({"--resume", (before / "checkpoints").string(), "--lr", "0"});
  for (const fs::path& run : Runs()) {
    EXPECT_TRUE(fs::exists(run / "checkpoints" / "best" / "model.safetensors")) << run;
  }
  EXPECT_EQ(Runs().size(), 2u);
}

// The limit on a file's size, in blocks of 512 bytes, stands for a full disk: here the metrics
// do not fit.
TEST_F(CheckpointTest, FullDiskOfTheRunFolderEndsNoTraining) {
  Child child = WithFilesOf(16, Training({"--save-every", "0", "--log-every", "1"}));
  EXPECT_EQ(child.Wait(), 2) << child.err();
  EXPECT_NE(child.err().find("records of the training are left out"), std::string::npos)
      << child.err();
  EXPECT_NE(child.err().find("its run folder is not whole"), std::string::npos) << child.err();
  EXPECT_EQ(child.err().find("was lost"), std::string::npos) << child.err();
  EXPECT_EQ(Json("result.json")["steps"], 32);
}

TEST_F(CheckpointTest, FullDiskKeepsTheOldOneAndTrainingGoesOn) {
  Child child =
      WithFilesOf(2000, Training({"--checkpoint-dir", "checkpoints", "--save-every-steps", "10"}));
  EXPECT_EQ(child.Wait(), 2) << child.err();
  EXPECT_NE(child.err().find("no checkpoint of step 10: cannot write"), std::string::npos)
      << child.err();
  EXPECT_NE(child.err().find("its last checkpoint could not be saved"), std::string::npos);
  EXPECT_EQ(Json("result.json")["steps"], 32);
  EXPECT_TRUE(fs::is_empty(folder_.path() / "checkpoints"));
}

TEST_F(CheckpointTest, ExportWritesTheWeights) {
  Result({"--epochs", "1"});
  const fs::path checkpoints = Runs().at(0) / "checkpoints";
  EXPECT_TRUE(fs::exists(checkpoints / "best" / "model.safetensors"));
  Child child =
      Start({"export", "--checkpoint", checkpoints.string(), "--output", "w.safetensors"});
  ASSERT_EQ(child.Wait(), 0) << child.err();
  const std::string text = ReadText(folder_.path() / "w.safetensors");
  EXPECT_NE(text.find(R"("fc2.weight":{"data_offsets")"), std::string::npos);
  // 421,642 floats behind the header.
  EXPECT_EQ(text.size(), 8 + static_cast<uint8_t>(text[0]) + 256u * static_cast<uint8_t>(text[1]) +
                             4u * 421'642);
}

}  // namespace
}  // namespace cddp

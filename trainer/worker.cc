#include "trainer/worker.h"

#include <fmt/format.h>
#include <signal.h>
#include <spdlog/spdlog.h>
#include <torch/torch.h>

#include <cstdlib>

#include "cddp/status.h"
#include "ddp/torch_error.h"
#include "trainer/checkpoint_folder.h"
#include "trainer/config_file.h"
#include "trainer/data/file_bytes.h"
#include "trainer/data/temporary_folder.h"
#include "trainer/failure.h"
#include "trainer/launcher.h"
#include "trainer/load_dataset.h"
#include "trainer/plan_file.h"
#include "trainer/rank_zero.h"
#include "trainer/report_file.h"
#include "trainer/threads.h"
#include "trainer/versions.h"

namespace cddp {
namespace {

constexpr std::string_view kFilePrefix = "file:";

// Called on the liveness thread. The main thread may be blocked in a collective
// that nothing can interrupt: the process ends here.
void EndAfterLoss(const Loss& loss) {
  const int code =
      ReportFailure(Status::PeerLost(fmt::format("rank {} was lost: {}", loss.rank, loss.reason)));
  std::_Exit(code);
}

// Whether the checkpoint to go on with is one of those in `folder`, itself named or by the folder
// of its run.
bool GoesOnIn(const std::filesystem::path& folder, const std::string& resume) {
  if (resume.empty() || resume == "auto") return resume == "auto";
  const auto resolved = [](const std::filesystem::path& path) {
    std::error_code error;
    const std::filesystem::path real = std::filesystem::canonical(path, error);
    return error ? path : real;
  };
  const std::filesystem::path from = resolved(resume), into = resolved(folder);
  return from == into || from.parent_path() == into || from / "checkpoints" == into;
}

}  // namespace

bool IsLauncher(const TrainOptions& options) {
  const std::string launcher = ReadLaunchEnvironment().launcher;
  if (options.rendezvous != "env") {
    if (!launcher.empty()) return false;
    throw StatusError(StatusCode::kInvalidArgument,
                      fmt::format("--rendezvous {} is for workers that were started one by one, "
                                  "but RANK is not set; leave out --rendezvous, or set RANK and "
                                  "WORLD_SIZE for each worker",
                                  options.rendezvous));
  }
  if (options.workers <= 1) return false;
  if (!launcher.empty()) {
    throw StatusError(StatusCode::kInvalidArgument,
                      fmt::format("--workers {} starts workers of its own, but this process is "
                                  "one that {} has started, by its environment variables; leave "
                                  "out --workers",
                                  options.workers, launcher));
  }
  return true;
}

int LaunchLocalWorkers(const TrainOptions& options, const std::vector<std::string>& arguments) {
  if (!options.plan.empty()) (void)ReadPlan(options.plan);  // once, not by each worker
  const TemporaryFolder folder;
  LaunchOptions launch{.workers = options.workers,
                       .command = arguments,
                       .threads_per_worker = ThreadsToShareOut(options, options.workers)};
  launch.command[0] = std::filesystem::read_symlink("/proc/self/exe");
  launch.command.insert(
      launch.command.end(),
      {"--rendezvous", fmt::format("{}{}", kFilePrefix, (folder.path() / "meeting").string())});
  return RunWorkers(launch);
}

void RequireWritableOutputs(const TrainOptions& options) {
  RequireWritableReport(options.json);
  RequireOutput("--record-gradients", options.record_gradients);
  RequireWritableFolder(options.log_dir, "choose another with --log-dir");
  if (options.checkpoint_dir.empty()) return;
  RequireWritableFolder(options.checkpoint_dir, "choose another with --checkpoint-dir");
  if (!GoesOnIn(options.checkpoint_dir, options.resume) &&
      !CheckpointFolder(options.checkpoint_dir).Steps().empty()) {
    throw StatusError(
        StatusCode::kInvalidArgument,
        fmt::format("--checkpoint-dir {} holds checkpoints of another run: go on with "
                    "--resume auto, or choose another folder",
                    options.checkpoint_dir));
  }
}

std::unique_ptr<RunFolder> NewRunFolder(const std::string& name, TrainOptions options,
                                        World& world) {
  std::unique_ptr<RunFolder> folder;
  OnRankZero(world, [&] {
    options.threads = torch::get_num_threads();
    nlohmann::json config = ToJson(options);
    config["world_size"] = world.size();
    config["versions"] = Versions();
    folder = std::make_unique<RunFolder>(options.log_dir, name, config);
    WriteFileAtomically(folder->path() / "config.yaml", ToYaml(options));
  });
  return folder;
}

int RunInWorld(const TrainOptions& options, std::map<std::string, std::string> configuration,
               const std::function<void(World&)>& work) {
  // Gloo writes to sockets whose other end may be gone (writev): that must be an
  // error that names a rank, not the silent end of this process.
  signal(SIGPIPE, SIG_IGN);
  // A limit on file sizes is an error of the one write, too.
  signal(SIGXFSZ, SIG_IGN);
  WorldOptions join;
  join.launch = ReadLaunchEnvironment();
  if (options.rendezvous.starts_with(kFilePrefix)) {
    join.meeting_file = options.rendezvous.substr(kFilePrefix.size());
  }
  join.interface = options.interface;
  if (const char* name = std::getenv("GLOO_SOCKET_IFNAME"); join.interface.empty() && name) {
    join.interface = name;
  }
  join.timeout = std::chrono::milliseconds(static_cast<int64_t>(1e3 * options.timeout_s));
  join.on_lost = EndAfterLoss;
  join.configuration = std::move(configuration);
  join.configuration["version"] = CDDP_VERSION;
  if (!options.plan.empty()) {
    join.configuration["--plan (content)"] = ToJson(ReadPlan(options.plan)).dump();
  }
  torch::set_num_threads(ThreadsPerWorker(options, join.launch.local_world_size));

  const std::unique_ptr<World> world = World::Join(join);
  try {
    work(*world);
    world->Barrier();
    world->Leave();
  } catch (const SharedError&) {
    world->Leave();
    throw;
  } catch (const StatusError& error) {
    // Gloo's error is often first; the liveness thread then ends the process
    // with the name of the rank.
    if (error.code() == StatusCode::kPeerLost) world->WaitForLoss();
    throw;
  } catch (const std::exception& error) {
    if (const std::optional<Status> status = OutOfMemory(error)) throw StatusError(*status);
    throw;
  }
  return 0;
}

int RunTraining(const std::string& command, const TrainOptions& options,
                const std::vector<std::string>& arguments,
                const std::function<void(World&, const DatasetSplits&)>& work) {
  if (IsLauncher(options)) {
    RequireWritableOutputs(options);
    // Once, with progress, before the workers need it.
    RequireBatchFits(options, options.workers, LoadOrFetchDataset(options));
    return LaunchLocalWorkers(options, arguments);
  }
  const DatasetSplits data = LoadOrFetchDataset(options);
  RequireBatchFits(options, ReadLaunchEnvironment().world_size, data);
  auto configuration = AgreedConfiguration(options);
  configuration["command"] = command;
  configuration["data (sha256)"] = data.sha256;
  return RunInWorld(options, configuration, [&](World& world) {
    OnRankZero(world, [&] { RequireWritableOutputs(options); });
    work(world, data);
  });
}

}  // namespace cddp

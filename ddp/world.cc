#include "ddp/world.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <random>
#include <thread>
#include <torch/csrc/distributed/c10d/FileStore.hpp>
#include <torch/csrc/distributed/c10d/HashStore.hpp>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>

#include "cddp/status.h"
#include "ddp/torch_error.h"

namespace cddp {
namespace {

using Clock = std::chrono::steady_clock;

std::vector<uint8_t> Bytes(const std::string& text) { return {text.begin(), text.end()}; }
std::string Text(const std::vector<uint8_t>& bytes) { return {bytes.begin(), bytes.end()}; }

bool IsLoopback(const std::string& address) {
  return address == "localhost" || address == "::1" || address.starts_with("127.");
}

}  // namespace

std::unique_ptr<World> World::Join(const WorldOptions& options) {
  std::unique_ptr<World> world(new World(options));
  if (world->size() > 1) {
    world->OpenStore();
    world->RequireAgreement();
    world->WatchLiveness();
  } else {
    world->store_ = c10::make_intrusive<c10d::HashStore>();
  }
  world->control_ = world->NewGroup("control");
  return world;
}

void World::OpenStore() {
  const LaunchEnvironment& launch = options_.launch;
  if (!options_.meeting_file.empty()) {
    store_ = c10::make_intrusive<c10d::FileStore>(options_.meeting_file, size());
    store_->setTimeout(options_.timeout);
    return;
  }
  c10d::TCPStoreOptions store;
  store.port = static_cast<uint16_t>(launch.master_port);
  store.isServer = rank() == 0 && !launch.agent_store;
  store.waitWorkers = false;  // RequireAgreement waits, and names who is missing
  store.timeout = options_.timeout;
  torch_seam::UsePlainSockets(store);
  try {
    store_ = c10::make_intrusive<c10d::TCPStore>(launch.master_address, store);
  } catch (const std::exception& error) {
    const std::string reason = FirstLine(error);
    if (store.isServer) {
      throw StatusError(StatusCode::kInvalidArgument,
                        fmt::format("rank 0 cannot listen on port {}: is it in use? Choose another "
                                    "with MASTER_PORT ({})",
                                    launch.master_port, reason));
    }
    throw StatusError(StatusCode::kPeerLost,
                      fmt::format("rank {} cannot reach rank 0 at {}:{} ({})", rank(),
                                  launch.master_address, launch.master_port, reason));
  }
  // torchrun may start the workers again: each attempt has keys of its own.
  store_ = c10::make_intrusive<c10d::PrefixStore>(
      fmt::format("cddp/attempt_{}", launch.restart_count), store_);
}

// Each worker publishes its configuration and compares all with its own, so that
// whoever differs is named on every rank, before any collective can hang.
void World::RequireAgreement() {
  nlohmann::json own = options_.configuration;
  own["world size"] = std::to_string(size());
  store_->set(fmt::format("configuration/{}", rank()), Bytes(own.dump()));

  const auto deadline = Clock::now() + options_.timeout;
  std::string difference;
  std::string missing;
  for (int other = 0; other < size() && difference.empty(); ++other) {
    if (other == rank()) continue;
    const std::string key = fmt::format("configuration/{}", other);
    try {
      const auto patience =
          std::max(std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now()),
                   std::chrono::milliseconds(1));
      store_->wait({key}, patience);
    } catch (const std::exception&) {
      missing += fmt::format("{}{}", missing.empty() ? "" : ", ", other);
      continue;
    }
    const auto theirs = nlohmann::json::parse(Text(store_->get(key)), nullptr, false);
    if (theirs.is_discarded() || !theirs.is_object()) {
      throw StatusError(StatusCode::kCorrupt,
                        fmt::format("rank {} published no readable configuration: does another "
                                    "program use the same store?",
                                    other));
    }
    for (const auto& [field, value] : own.items()) {
      const auto it = theirs.find(field);
      const std::string got =
          it != theirs.end() && it->is_string() ? it->get<std::string>() : "nothing";
      if (got == value.get<std::string>()) continue;
      difference += fmt::format("\n  {}: {} on rank {}, {} on rank {}", field,
                                value.get<std::string>(), rank(), got, other);
    }
  }
  // Rank 0 may serve the store: it stays until the others have read.
  store_->add("compared", 1);
  if (!difference.empty() || !missing.empty()) {
    const auto patience = Clock::now() + std::chrono::seconds(2);
    while (rank() == 0 && missing.empty() && Clock::now() < patience &&
           store_->add("compared", 0) < size()) {
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
  }
  if (!difference.empty()) {
    throw StatusError(StatusCode::kInvalidArgument,
                      "the workers were started with different settings:" + difference);
  }
  if (!missing.empty()) {
    throw StatusError(StatusCode::kPeerLost,
                      fmt::format("rank {} waited {} s for rank {} of {}, which did not come",
                                  rank(), options_.timeout.count() / 1000, missing, size()));
  }
}

void World::WatchLiveness() {
  const std::string host =
      options_.meeting_file.empty() ? options_.launch.master_address : "127.0.0.1";
  LivenessOptions liveness{.rank = rank(),
                           .world_size = size(),
                           .timeout = options_.timeout,
                           .join_timeout = options_.timeout,
                           .on_lost = options_.on_lost};
  if (rank() == 0) {
    std::random_device random;
    const uint64_t token = (uint64_t{random()} << 32) | random();
    liveness_ = Liveness::Listen(liveness, token, IsLoopback(host) ? host : "");
    store_->set("liveness", Bytes(fmt::format("{} {}", liveness_->port(), token)));
  } else {
    const std::string endpoint = Text(store_->get("liveness"));
    const size_t space = endpoint.find(' ');
    liveness_ = Liveness::Connect(liveness, host, std::stoi(endpoint.substr(0, space)),
                                  std::stoull(endpoint.substr(space + 1)));
  }
  liveness_->WaitForAll();
}

ProcessGroupPtr World::NewGroup(const std::string& name) {
  using c10d::ProcessGroupGloo;
  const std::string prefix = fmt::format("{}_{}", name, groups_++);
  auto store = c10::make_intrusive<c10d::PrefixStore>(prefix, store_);
  auto gloo = ProcessGroupGloo::Options::create(options_.timeout);
  gloo->threads = 2;
  const bool local = !options_.meeting_file.empty() || IsLoopback(options_.launch.master_address);
  try {
    if (!options_.interface.empty()) {
      gloo->devices.push_back(ProcessGroupGloo::createDeviceForInterface(options_.interface));
    } else if (local) {
      gloo->devices.push_back(ProcessGroupGloo::createDeviceForHostname("127.0.0.1"));
    } else {
      gloo->devices.push_back(ProcessGroupGloo::createDefaultDevice());
    }
  } catch (const std::exception& error) {
    throw StatusError(StatusCode::kInvalidArgument,
                      fmt::format("no network device for interface \"{}\": {}", options_.interface,
                                  FirstLine(error)));
  }
  try {
    auto group = c10::make_intrusive<ProcessGroupGloo>(store, rank(), size(), gloo);
    return torch_seam::WrapBackend<c10d::ProcessGroup>(group, store, rank(), size(), prefix);
  } catch (const std::exception& error) {
    throw StatusError(
        StatusCode::kPeerLost,
        fmt::format("the workers cannot connect to each other: {}", FirstLine(error)));
  }
}

void World::Sum(std::vector<double>& counts) {
  if (size() == 1) return;
  std::vector<at::Tensor> tensors{
      torch::from_blob(counts.data(), {static_cast<int64_t>(counts.size())}, torch::kDouble)};
  RethrowAsPeerLost("a sum over the workers", [&] { control_->allreduce(tensors)->wait(); });
}

uint64_t World::AgreeOnNumber(uint64_t of_rank_0) {
  if (size() == 1) return of_rank_0;
  auto number = static_cast<int64_t>(of_rank_0);
  std::vector<at::Tensor> tensors{torch::from_blob(&number, {1}, torch::kLong)};
  RethrowAsPeerLost("a broadcast", [&] { control_->broadcast(tensors)->wait(); });
  return static_cast<uint64_t>(number);
}

void World::Barrier() {
  std::vector<double> none{0.0};
  Sum(none);
}

std::optional<Loss> World::WaitForLoss() const {
  if (!liveness_) return std::nullopt;
  return liveness_->WaitForLoss(std::chrono::milliseconds(1500));
}

void World::Leave() {
  if (liveness_) liveness_->Leave();
}

}  // namespace cddp

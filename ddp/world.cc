#include "ddp/world.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <net/if.h>

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>
#include <random>
#include <thread>
#include <torch/csrc/distributed/c10d/FileStore.hpp>
#include <torch/csrc/distributed/c10d/HashStore.hpp>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>

#include "cddp/status.h"
#include "ddp/threads.h"
#include "ddp/torch_error.h"

namespace cddp {
namespace {

using Clock = std::chrono::steady_clock;

std::vector<uint8_t> Bytes(const std::string& text) { return {text.begin(), text.end()}; }
std::string Text(const std::vector<uint8_t>& bytes) { return {bytes.begin(), bytes.end()}; }

bool IsLoopback(const std::string& address) {
  return address == "localhost" || address == "::1" || address.starts_with("127.");
}

std::vector<std::string> InterfaceNames() {
  std::vector<std::string> names;
  struct if_nameindex* const all = if_nameindex();
  for (const auto* item = all; item != nullptr && item->if_index != 0; ++item) {
    names.emplace_back(item->if_name);
  }
  if_freenameindex(all);
  return names;
}

constexpr std::chrono::milliseconds kPause{20};
constexpr std::chrono::seconds kTimeToRead{2};
constexpr char kReaders[] = "compared";  // counts the ranks that have read the configurations

std::string ConfigurationKey(int rank) { return fmt::format("configuration/{}", rank); }

void Publish(c10d::Store& store, int rank, const nlohmann::json& own) {
  store.set(ConfigurationKey(rank), Bytes(own.dump()));
}

struct Others {
  std::map<int, nlohmann::json> configurations;
  std::vector<int> missing;  // after the deadline
};

// Reads the configurations of the other ranks, in rank order, until one differs
// from this rank's own or all are there. Those that are not at the deadline are
// missing. Polls, because a wait that runs out of time leaves its answer in the
// connection for the next call to stumble over (1.13).
Others AwaitConfigurations(c10d::Store& store, int rank, int size, const nlohmann::json& own,
                           Clock::time_point deadline) {
  Others others;
  for (int other = 0; other < size; ++other) {
    if (other == rank) continue;
    const std::string key = ConfigurationKey(other);
    bool is_there = store.check({key});
    while (!is_there && Clock::now() < deadline) {
      std::this_thread::sleep_for(kPause);
      is_there = store.check({key});
    }
    if (!is_there) {
      others.missing.push_back(other);
      continue;
    }
    auto theirs = nlohmann::json::parse(Text(store.get(key)), nullptr, false);
    if (theirs.is_discarded() || !theirs.is_object()) {
      throw StatusError(StatusCode::kCorrupt,
                        fmt::format("rank {} published no readable configuration: does another "
                                    "program use the same store?",
                                    other));
    }
    const bool differs = theirs != own;
    others.configurations.emplace(other, std::move(theirs));
    if (differs) {
      others.missing.clear();
      break;
    }
  }
  store.add(kReaders, 1);
  return others;
}

// A line for each field of which another rank has another value.
std::string Differences(int rank, const nlohmann::json& own,
                        const std::map<int, nlohmann::json>& others) {
  const auto value = [](const nlohmann::json& of, const std::string& field) {
    const auto it = of.find(field);
    return it != of.end() && it->is_string() ? it->get<std::string>() : "nothing";
  };
  std::string lines;
  for (const auto& [other, theirs] : others) {
    nlohmann::json fields = own;
    fields.update(theirs);
    for (const auto& [field, ignored] : fields.items()) {
      const std::string expected = value(own, field);
      const std::string got = value(theirs, field);
      if (got == expected) continue;
      lines +=
          fmt::format("\n  {}: {} on rank {}, {} on rank {}", field, expected, rank, got, other);
    }
  }
  return lines;
}

// "1, 2, 3", or of many the first eight "and 4991 more".
std::string FirstFew(const std::vector<int>& ranks) {
  constexpr size_t kShown = 8;
  std::string list;
  for (size_t i = 0; i < std::min(kShown, ranks.size()); ++i) {
    list += fmt::format("{}{}", i == 0 ? "" : ", ", ranks[i]);
  }
  if (ranks.size() > kShown) list += fmt::format(" and {} more", ranks.size() - kShown);
  return list;
}

// Gloo's thread for a device polls its sockets, and when the lock of one that is ready is
// held by a sender, it tries again at once. A sender wakes the receiver's thread while it
// holds that lock; the answer wakes its own thread, which, were it to take the sender's
// place, would spin for milliseconds on the lock that the sender can now not give back.
std::shared_ptr<gloo::transport::Device> NewDevice(const WorldOptions& options) {
  using c10d::ProcessGroupGloo;
  const StartBatchThreads polling;
  if (!options.interface.empty()) {
    return ProcessGroupGloo::createDeviceForInterface(options.interface);
  }
  const bool local = !options.meeting_file.empty() || IsLoopback(options.launch.master_address);
  return local ? ProcessGroupGloo::createDeviceForHostname("127.0.0.1")
               : ProcessGroupGloo::createDefaultDevice();
}

// A call of the store never came back.
class StoreIsStuck final : public StatusError {
 public:
  using StatusError::StatusError;
};

struct Endpoint {
  int port = 0;
  uint64_t token = 0;
};

Endpoint ParseEndpoint(const std::string& text) {
  Endpoint endpoint;
  const char* const end = text.data() + text.size();
  const auto port = std::from_chars(text.data(), end, endpoint.port);
  if (port.ec == std::errc() && port.ptr != end && *port.ptr == ' ' && endpoint.port >= 1 &&
      endpoint.port <= 65'535) {
    const auto token = std::from_chars(port.ptr + 1, end, endpoint.token);
    if (token.ec == std::errc() && token.ptr == end) return endpoint;
  }
  throw StatusError(StatusCode::kCorrupt,
                    fmt::format("rank 0 published \"{:.40}\" instead of the port and token of its "
                                "liveness watch: does another program use the same store?",
                                text));
}

}  // namespace

std::unique_ptr<World> World::Join(const WorldOptions& options) {
  std::unique_ptr<World> world(new World(options));
  World* const w = world.get();
  if (world->size() == 1) {
    world->store_ = c10::make_intrusive<c10d::HashStore>();
    world->control_ = world->NewGroup("control");
    return world;
  }
  try {
    w->CallStore(options.timeout, [w] { w->OpenStore(); });
    RethrowAsPeerLost("a call of " + world->store_name(), [&] {
      w->CallStore(options.timeout + kTimeToRead, [w] { w->RequireAgreement(); });
      w->CallStore(2 * options.timeout, [w] { w->WatchLiveness(); });
    });
    w->CallStore(2 * options.timeout, [w] { w->control_ = w->NewGroup("control"); });
  } catch (const StoreIsStuck&) {
    (void)world.release();  // the thread that was left behind uses it
    throw;
  }
  return world;
}

World::~World() {
  control_.reset();
  liveness_.reset();
  // That of rank 0 waits for whoever has sent it a part of a message.
  EndsWithin(kTimeToRead, [store = std::move(store_)]() mutable { store.reset(); });
}

// libtorch's store serves one connection at a time, and reads from it until a message is whole:
// with a part of one, a stranger holds up all workers, and there is no limit on how long a call
// waits.
void World::CallStore(std::chrono::milliseconds patience, std::function<void()> calls) const {
  constexpr std::chrono::seconds kMargin{5};
  if (EndsWithin(patience + kMargin, std::move(calls))) return;
  throw StoreIsStuck(
      StatusCode::kPeerLost,
      fmt::format("{} does not answer (waited {} s): has something that is no worker connected to "
                  "{}:{}?",
                  store_name(), (patience + kMargin).count() / 1000, options_.launch.master_address,
                  options_.launch.master_port));
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
  store.waitWorkers = false;  // AwaitConfigurations waits, and names who is missing
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

std::string World::store_name() const {
  if (!options_.meeting_file.empty()) return "the store in " + options_.meeting_file;
  return options_.launch.agent_store ? "the launcher's store" : "rank 0's store";
}

// Each worker publishes its configuration and compares all with its own, so that
// whoever differs is named on every rank, before any collective can hang.
void World::RequireAgreement() {
  nlohmann::json own = options_.configuration;
  own["world size"] = std::to_string(size());
  Publish(*store_, rank(), own);
  const Others others =
      AwaitConfigurations(*store_, rank(), size(), own, Clock::now() + options_.timeout);
  const std::string differences = Differences(rank(), own, others.configurations);
  if (differences.empty() && others.missing.empty()) return;

  // Rank 0 may serve the store: it stays until the others have read.
  const auto patience = Clock::now() + kTimeToRead;
  while (rank() == 0 && others.missing.empty() && Clock::now() < patience &&
         store_->add(kReaders, 0) < size()) {
    std::this_thread::sleep_for(kPause);
  }
  if (!differences.empty()) {
    throw StatusError(StatusCode::kInvalidArgument,
                      "the workers were started with different settings:" + differences);
  }
  throw StatusError(StatusCode::kPeerLost,
                    fmt::format("rank {} waited {} s for rank {} of {}, which did not come", rank(),
                                options_.timeout.count() / 1000, FirstFew(others.missing), size()));
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
    const Endpoint endpoint = ParseEndpoint(Text(store_->get("liveness")));
    try {
      liveness_ = Liveness::Connect(liveness, host, endpoint.port, endpoint.token);
    } catch (const StatusError& error) {
      // Rank 0 was there a moment ago.
      if (error.code() != StatusCode::kUnavailable) throw;
      throw StatusError(StatusCode::kPeerLost, error.what());
    }
  }
  liveness_->WaitForAll();
}

std::chrono::milliseconds World::collective_timeout() const {
  return std::max<std::chrono::milliseconds>(10 * options_.timeout, std::chrono::minutes(30));
}

ProcessGroupPtr World::NewGroup(const std::string& name) {
  using c10d::ProcessGroupGloo;
  auto gloo = ProcessGroupGloo::Options::create(collective_timeout());
  gloo->threads = 2;
  try {
    gloo->devices.push_back(NewDevice(options_));
  } catch (const std::exception& error) {
    throw StatusError(
        StatusCode::kInvalidArgument,
        fmt::format("no network device for interface \"{}\"; this machine has {}: {}",
                    options_.interface, fmt::join(InterfaceNames(), ", "), FirstLine(error)));
  }
  return NewGroupOn(name, [&](const StorePtr& store, const std::string& of_group) {
    auto group = c10::make_intrusive<ProcessGroupGloo>(store, rank(), size(), gloo);
    return torch_seam::WrapBackend<c10d::ProcessGroup>(group, store, rank(), size(), of_group);
  });
}

ProcessGroupPtr World::NewGroupOn(const std::string& name, const MakeGroup& make) {
  const std::string of_group = fmt::format("{}_{}", name, groups_++);
  try {
    // What `make` calls cannot be given up.
    if (size() > 1) {
      CallStore(options_.timeout, [store = store_] { (void)store->check({"there"}); });
    }
    return make(c10::make_intrusive<c10d::PrefixStore>(of_group, store_), of_group);
  } catch (const StatusError&) {
    throw;
  } catch (const std::exception& error) {
    const std::optional<Loss> loss = WaitForLoss();
    throw StatusError(
        StatusCode::kPeerLost,
        loss ? fmt::format("rank {} was lost: {}", loss->rank, loss->reason)
             : fmt::format("the workers cannot connect to each other: {}", FirstLine(error)));
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

int World::CountDiffering(uint64_t number) {
  std::vector<double> differing{AgreeOnNumber(number) == number ? 0.0 : 1.0};
  Sum(differing);
  return static_cast<int>(differing[0]);
}

std::string World::AgreeOnText(const std::string& of_rank_0) {
  std::string text = of_rank_0;
  text.resize(AgreeOnNumber(text.size()));
  if (size() == 1 || text.empty()) return text;
  std::vector<at::Tensor> tensors{
      torch::from_blob(text.data(), {static_cast<int64_t>(text.size())}, torch::kByte)};
  RethrowAsPeerLost("a broadcast", [&] { control_->broadcast(tensors)->wait(); });
  return text;
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

// World: the workers of a run, as one of them sees it. Where they meet (store),
// whether they agree on what to do, whether all are alive, and the process
// groups that they talk through.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "ddp/launch_environment.h"
#include "ddp/liveness.h"
#include "ddp/torch_seam.h"

namespace cddp {

struct WorldOptions {
  LaunchEnvironment launch;
  // Not empty: the workers, all of this machine, meet through this file, which
  // must not exist before, instead of at master_address:master_port.
  std::string meeting_file;
  // Network interface for the gradients, such as "eth0". Empty: loopback when
  // rank 0's address is a loopback one, else the one that the host name resolves to.
  std::string interface;
  // How long a worker may stay silent before it counts as lost. One that is there
  // but slow (it evaluates, it waits for its disk) is not: collectives wait for it.
  std::chrono::milliseconds timeout = std::chrono::seconds(60);
  // See LivenessOptions::on_lost.
  std::function<void(const Loss&)> on_lost;
  // What every worker must have been started with alike: name -> value.
  std::map<std::string, std::string> configuration;
};

class World {
 public:
  // Meets the other workers. Throws StatusError: kInvalidArgument when the port
  // is taken or a worker was started with another configuration (names the rank,
  // the field and both values); kPeerLost naming the ranks that did not come
  // within the timeout, or when a worker, or the store that they meet at, was lost
  // meanwhile or does not answer; kCorrupt when the store holds what no worker has written.
  static std::unique_ptr<World> Join(const WorldOptions& options);

  ~World();
  World(const World&) = delete;
  World& operator=(const World&) = delete;

  int rank() const { return options_.launch.rank; }
  int size() const { return options_.launch.world_size; }
  // Of the workers, those of this machine, and this one's number among them.
  int local_size() const { return options_.launch.local_world_size; }
  int local_rank() const { return options_.launch.local_rank; }

  // See WorldOptions; empty where none was named.
  const std::string& interface() const { return options_.interface; }

  // After which a collective gives up although nobody was lost: 10 times the
  // timeout, at least half an hour.
  std::chrono::milliseconds collective_timeout() const;

  // A new Gloo process group of all workers. Collective: every worker makes the
  // same groups in the same order.
  ProcessGroupPtr NewGroup(const std::string& name);

  // The same over another backend: `make` is given a store and a name of the group's own.
  using MakeGroup = std::function<ProcessGroupPtr(const StorePtr& store, const std::string& name)>;
  ProcessGroupPtr NewGroupOn(const std::string& name, const MakeGroup& make);

  // Sums `counts` over the workers, in place. Collective; one thread at a time.
  void Sum(std::vector<double>& counts);

  // Every rank gets rank 0's number. Collective.
  uint64_t AgreeOnNumber(uint64_t of_rank_0);

  // How many ranks have another number than rank 0. Collective.
  int CountDiffering(uint64_t number);

  // Every rank gets rank 0's text. Collective.
  std::string AgreeOnText(const std::string& of_rank_0);

  // Waits until all ranks have come here. Collective.
  void Barrier();

  // The group of Sum and Barrier, apart from that of the gradients.
  const ProcessGroupPtr& control_group() const { return control_; }

  // The worker that was lost, if one was, waiting for the news a moment.
  std::optional<Loss> WaitForLoss() const;

  // The agreed good end of the run: this worker's exit is no loss.
  void Leave();

 private:
  explicit World(WorldOptions options) : options_(std::move(options)) {}
  void CallStore(std::chrono::milliseconds patience, std::function<void()> calls) const;
  void OpenStore();
  void RequireAgreement();
  void WatchLiveness();
  std::string store_name() const;  // for messages: "rank 0's store"

  WorldOptions options_;
  StorePtr store_;
  std::unique_ptr<Liveness> liveness_;
  ProcessGroupPtr control_;
  int groups_ = 0;
};

}  // namespace cddp

// Meeting: who is missing, lost or a stranger is told by name, in time.
#include "ddp/world.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <thread>
#include <torch/csrc/distributed/c10d/FileStore.hpp>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>

#include "cddp/status.h"
#include "ddp/file_descriptor.h"
#include "tests/ddp/threaded_world.h"

namespace cddp {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

WorldOptions Options(int rank, int size, const TestFolder& folder) {
  WorldOptions options;
  options.launch.rank = rank;
  options.launch.world_size = size;
  options.timeout = seconds(1);
  options.meeting_file = (folder.path() / "meeting").string();
  return options;
}

int FreePort() {
  const FileDescriptor probe(socket(AF_INET, SOCK_STREAM, 0));
  sockaddr_in address{
      .sin_family = AF_INET, .sin_port = 0, .sin_addr = {htonl(INADDR_LOOPBACK)}, .sin_zero = {}};
  socklen_t size = sizeof address;
  EXPECT_EQ(bind(probe.get(), reinterpret_cast<const sockaddr*>(&address), size), 0);
  EXPECT_EQ(getsockname(probe.get(), reinterpret_cast<sockaddr*>(&address), &size), 0);
  return ntohs(address.sin_port);
}

// The failure of a Join that must fail.
Status JoinFailure(const WorldOptions& options) {
  try {
    World::Join(options);
  } catch (const StatusError& error) {
    return error.status();
  }
  ADD_FAILURE() << "joined";
  return Status::Ok();
}

// Leaves in the store what rank 0 of two workers would.
void PlayRankZero(c10d::Store& store, const std::string& liveness) {
  const std::string configuration = nlohmann::json{{"world size", "2"}}.dump();
  store.set("configuration/0", {configuration.begin(), configuration.end()});
  if (!liveness.empty()) store.set("liveness", {liveness.begin(), liveness.end()});
}

TEST(WorldTest, AbsurdWorldSizeEndsSoonAndShortly) {
  const TestFolder folder;
  const auto start = std::chrono::steady_clock::now();
  const Status failure = JoinFailure(Options(3, 5000, folder));
  EXPECT_LT(std::chrono::steady_clock::now() - start, seconds(5));
  EXPECT_EQ(failure.code(), StatusCode::kPeerLost);
  EXPECT_EQ(failure.message(),
            "rank 3 waited 1 s for rank 0, 1, 2, 4, 5, 6, 7, 8 and 4991 more of 5000, which did "
            "not come");
}

// libtorch's store reads from a connection until a message is whole.
TEST(WorldTest, AStrangerAtTheStoreHoldsUpNobodyForEver) {
  const TestFolder folder;
  WorldOptions options = Options(0, 2, folder);
  options.meeting_file.clear();
  options.launch.master_address = "127.0.0.1";
  options.launch.master_port = FreePort();
  sockaddr_in address{.sin_family = AF_INET,
                      .sin_port = htons(static_cast<uint16_t>(options.launch.master_port)),
                      .sin_addr = {htonl(INADDR_LOOPBACK)},
                      .sin_zero = {}};
  const FileDescriptor stranger(socket(AF_INET, SOCK_STREAM, 0));
  Status first, second;
  const auto start = std::chrono::steady_clock::now();
  std::thread rank_0([&] { first = JoinFailure(options); });
  while (connect(stranger.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) !=
         0) {
    std::this_thread::sleep_for(milliseconds(1));
  }
  ASSERT_EQ(write(stranger.get(), "\0", 1), 1);  // SET, and a key that never comes
  std::this_thread::sleep_for(milliseconds(100));
  std::thread rank_1([&, options]() mutable {
    options.launch.rank = 1;
    second = JoinFailure(options);
  });
  rank_0.join();
  rank_1.join();
  EXPECT_LT(std::chrono::steady_clock::now() - start, seconds(30));
  for (const Status& status : {first, second}) {
    EXPECT_EQ(status.code(), StatusCode::kPeerLost);
    EXPECT_NE(status.message().find("rank 0's store does not answer"), std::string::npos)
        << status.message();
  }
}

TEST(WorldTest, RankZerosTextIsEveryones) {
  RunRanks(3, [](World& world) {
    EXPECT_EQ(world.AgreeOnText(world.rank() == 0 ? "runs/a" : "another, longer one"), "runs/a");
    EXPECT_EQ(world.AgreeOnText(world.rank() == 0 ? "" : "x"), "");
  });
}

// As senders that they take the place of would hold them up; see NewDevice.
TEST(WorldTest, ThreadsThatPollSocketsTakeNobodysPlace) {
  RunRanks(2, [](World& world) {
    world.Barrier();
    int batch = 0;
    for (const auto& thread : std::filesystem::directory_iterator("/proc/self/task")) {
      batch += sched_getscheduler(std::stoi(thread.path().filename())) == SCHED_BATCH ? 1 : 0;
    }
    EXPECT_EQ(batch, 2);  // one for each rank's control group
    EXPECT_EQ(sched_getscheduler(0), SCHED_OTHER);
    world.Barrier();
  });
}

// Only silence counts, and the watch speaks while the rank works.
TEST(WorldTest, ASlowRankIsNotLost) {
  RunRanks(
      2,
      [](World& world) {
        if (world.rank() == 1) std::this_thread::sleep_for(milliseconds(2500));
        std::vector<double> ones{1.0};
        EXPECT_NO_THROW(world.Sum(ones));
        EXPECT_EQ(ones[0], 2.0);
      },
      seconds(1));
}

TEST(WorldTest, UnreadableEndpointIsCorrupt) {
  for (const char* endpoint : {"here", "29500", "29500 x", "29500 1 2", "99999 1", "-1 1", " 1"}) {
    const TestFolder folder;
    const WorldOptions options = Options(1, 2, folder);
    const auto store = c10::make_intrusive<c10d::FileStore>(options.meeting_file, 2);
    PlayRankZero(*store, endpoint);
    const Status failure = JoinFailure(options);
    EXPECT_EQ(failure.code(), StatusCode::kCorrupt) << failure.message();
    EXPECT_NE(failure.message().find(endpoint), std::string::npos) << failure.message();
  }
}

TEST(WorldTest, RankZeroThatIsGoneIsALostPeer) {
  const TestFolder folder;
  const WorldOptions options = Options(1, 2, folder);
  const auto store = c10::make_intrusive<c10d::FileStore>(options.meeting_file, 2);
  PlayRankZero(*store, "1 1");  // nobody listens on port 1
  const Status failure = JoinFailure(options);
  EXPECT_EQ(failure.code(), StatusCode::kPeerLost) << failure.message();
  EXPECT_NE(failure.message().find("rank 0"), std::string::npos) << failure.message();
}

TEST(WorldTest, StoreThatGoesAwayIsALostPeer) {
  c10d::TCPStoreOptions server;
  server.port = 0;
  server.isServer = true;
  server.waitWorkers = false;
  torch_seam::UsePlainSockets(server);
  auto store = c10::make_intrusive<c10d::TCPStore>("127.0.0.1", server);
  auto prefixed = c10::make_intrusive<c10d::PrefixStore>("cddp/attempt_0", store);
  PlayRankZero(*prefixed, "");

  WorldOptions options;
  options.launch.rank = 1;
  options.launch.world_size = 2;
  options.launch.master_port = store->getPort();
  options.timeout = seconds(20);
  std::thread rank_0([&] {
    // Until rank 1 has read the configuration and waits for the rest.
    while (prefixed->add("compared", 0) < 1) std::this_thread::sleep_for(milliseconds(5));
    std::this_thread::sleep_for(milliseconds(100));
    prefixed.reset();
    store.reset();
  });
  const auto start = std::chrono::steady_clock::now();
  const Status failure = JoinFailure(options);
  rank_0.join();
  EXPECT_LT(std::chrono::steady_clock::now() - start, seconds(10));
  EXPECT_EQ(failure.code(), StatusCode::kPeerLost) << failure.message();
  EXPECT_NE(failure.message().find("rank 0's store"), std::string::npos) << failure.message();
}

}  // namespace
}  // namespace cddp

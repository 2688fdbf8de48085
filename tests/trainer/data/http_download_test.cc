#include "trainer/data/http_download.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <string>
#include <thread>
#include <utility>

#include "cddp/status.h"
#include "ddp/file_descriptor.h"
#include "tests/trainer/data/data_fixtures.h"
#include "trainer/data/child_process.h"
#include "trainer/data/file_bytes.h"
#include "trainer/data/sources.h"
#include "trainer/data/temporary_folder.h"

namespace cddp {
namespace {

// Gives one fixed answer to every connection on a free port of this machine.
class FixedAnswerServer {
 public:
  explicit FixedAnswerServer(std::string answer, bool stalls = false)
      : answer_(std::move(answer)), stalls_(stalls), listener_(socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(address);
    auto* generic = reinterpret_cast<sockaddr*>(&address);
    EXPECT_EQ(bind(listener_.get(), generic, size), 0);
    EXPECT_EQ(listen(listener_.get(), 4), 0);
    EXPECT_EQ(getsockname(listener_.get(), generic, &size), 0);
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this] { Serve(); });
  }
  ~FixedAnswerServer() {
    stop_ = true;
    thread_.join();
  }
  std::string url() const { return fmt::format("http://127.0.0.1:{}/file.gz", port_); }

 private:
  void Serve() {
    while (!stop_) {
      pollfd waiting{listener_.get(), POLLIN, 0};
      if (poll(&waiting, 1, 20) <= 0) continue;
      const FileDescriptor peer(accept(listener_.get(), nullptr, nullptr));
      char request[4096];
      if (read(peer.get(), request, sizeof(request)) > 0) {
        send(peer.get(), answer_.data(), answer_.size(), MSG_NOSIGNAL);
        pollfd closing{peer.get(), POLLIN, 0};
        while (stalls_ && !stop_ && poll(&closing, 1, 20) == 0) {
        }
      }
    }
  }

  const std::string answer_;
  const bool stalls_;
  FileDescriptor listener_;
  int port_ = 0;
  std::atomic<bool> stop_ = false;
  std::thread thread_;
};

HttpLimits PlainHttp(uint64_t max_bytes) {
  HttpLimits limits;
  limits.max_bytes = max_bytes;
  limits.protocols = "http";
  return limits;
}

class HttpTest : public testing::Test {
 protected:
  // A proxy of the environment must not stand between the test and its server.
  void SetUp() override { setenv("no_proxy", "127.0.0.1", 1); }
};

TEST_F(HttpTest, DownloadsAndReportsProgress) {
  const FixedAnswerServer server("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
  uint64_t last_done = 0, last_total = 0;
  const Bytes body = HttpDownload(server.url(), PlainHttp(5), [&](uint64_t done, uint64_t total) {
    last_done = done;
    last_total = total;
  });
  EXPECT_EQ(std::string(body.begin(), body.end()), "hello");
  EXPECT_EQ(last_done, 5u);
  EXPECT_EQ(last_total, 5u);
}

void ExpectHttpError(const std::string& answer, const HttpLimits& limits,
                     const std::string& fragment) {
  const FixedAnswerServer server(answer);
  ExpectRefusal([&] { HttpDownload(server.url(), limits, {}); }, StatusCode::kUnavailable,
                {fragment});
}

TEST_F(HttpTest, RefusesErrorsCutsAndLongBodies) {
  ExpectHttpError("HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\nnone", PlainHttp(100), "404");
  ExpectHttpError("HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhello", PlainHttp(100), "45 bytes");
  ExpectHttpError("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", PlainHttp(4),
                  "larger than 4 bytes");
  // Without an announced length only the count of what arrives can tell.
  ExpectHttpError("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello", PlainHttp(4),
                  "larger than 4 bytes");
}

TEST_F(HttpTest, GivesUpOnATransferThatStalls) {
  const FixedAnswerServer server("HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhello", true);
  HttpLimits limits = PlainHttp(100);
  limits.slow_period = std::chrono::seconds(1);
  ExpectRefusal([&] { HttpDownload(server.url(), limits, {}); }, StatusCode::kUnavailable,
                {"too slow"});
}

TEST_F(HttpTest, FilesComeOutOfATarArchive) {
  const TemporaryFolder folder;
  WriteRaw(folder.path() / "inner" / "first", Ramp(3000));
  WriteRaw(folder.path() / "inner" / "second", Ramp(5));
  RunProgram({"tar", "-czf", "made.tar.gz", "inner"}, folder.path(), folder.path() / "tar.log",
             std::chrono::seconds(20));
  const Bytes archive = ReadFileBytes(folder.path() / "made.tar.gz", 1 << 20);
  const FixedAnswerServer server(
      fmt::format("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", archive.size()) +
      std::string(archive.begin(), archive.end()));
  HttpsTarSource source(server.url(), "inner", "http");
  EXPECT_TRUE(source.needs_network());
  EXPECT_EQ(source.Read({"first", 3000, ""}, {}), Ramp(3000));
  EXPECT_EQ(source.Read({"second", 5, ""}, {}), Ramp(5));
  ExpectRefusal([&] { source.Read({"third", 5, ""}, {}); }, StatusCode::kUnavailable, {"third"});

  const FixedAnswerServer cut("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
  HttpsTarSource no_archive(cut.url(), "inner", "http");
  ExpectRefusal(
      [&] {
        no_archive.Read({"first", 3000, ""}, {});
      },
      StatusCode::kCorrupt, {"the archive cannot be read"});
}

TEST_F(HttpTest, DefaultsToHttpsAlone) {
  HttpLimits limits;
  limits.max_bytes = 100;
  ExpectHttpError("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", limits, "rotocol");
  HttpsSource source("http://127.0.0.1:9/");
  ExpectRefusal(
      [&] {
        source.Read({"file", 10, ""}, {});
      },
      StatusCode::kUnavailable, {"file.gz: "});
}

}  // namespace
}  // namespace cddp

// The transport whose ranks are threads.
#include <gtest/gtest.h>

#include <cstring>
#include <string>

#include "tests/collective/rank_group.h"

namespace cddp {
namespace {

std::vector<std::byte> BytesOf(const std::string& text) {
  std::vector<std::byte> bytes(text.size());
  if (!text.empty()) std::memcpy(bytes.data(), text.data(), text.size());
  return bytes;
}

TEST(InProcess, KnowsItsPlace) {
  for (int ranks : kWorldSizes) {
    const auto transports = MakeInProcessTransports(ranks);
    ASSERT_EQ(transports.size(), static_cast<size_t>(ranks));
    for (int r = 0; r < ranks; ++r) {
      EXPECT_EQ(transports[static_cast<size_t>(r)]->rank(), r);
      EXPECT_EQ(transports[static_cast<size_t>(r)]->world_size(), ranks);
    }
  }
}

TEST(InProcess, SumsInRankOrder) {
  for (int ranks : kWorldSizes) {
    RunRanks(ranks, [ranks](Transport& transport) {
      for (uint64_t call = 0; call < 20; ++call) {
        std::vector<float> want(50, 0.0f);
        OwnedBucket bucket(0, {50});
        for (int r = 0; r < ranks; ++r) {
          FillGradient(r, call, &bucket);
          for (size_t i = 0; i < 50; ++i) want[i] += bucket.values[i];
        }
        FillGradient(transport.rank(), call, &bucket);
        ASSERT_TRUE(transport.AllReduceSum(bucket.values).ok());
        ASSERT_TRUE(SameBits(bucket.values, want)) << "call " << call << " of " << ranks;
      }
    });
  }
}

TEST(InProcess, ExchangesMessagesOfDifferentLengths) {
  const auto text = [](int from, int to, int call) {
    return std::string(static_cast<size_t>((from * 7 + to * 3 + call) % 11),
                       static_cast<char>('a' + from)) +
           std::to_string(from) + ">" + std::to_string(to) + "#" + std::to_string(call);
  };
  for (int ranks : kWorldSizes) {
    RunRanks(ranks, [&](Transport& transport) {
      const int self = transport.rank();
      for (int call = 0; call < 20; ++call) {
        std::vector<std::vector<std::byte>> messages;
        std::vector<std::vector<std::byte>> buffers;
        for (int r = 0; r < ranks; ++r) {
          messages.push_back(BytesOf(text(self, r, call)));
          buffers.emplace_back(40, std::byte{0});
        }
        const std::vector<std::span<const std::byte>> outgoing(messages.begin(), messages.end());
        const std::vector<std::span<std::byte>> incoming(buffers.begin(), buffers.end());
        ASSERT_TRUE(transport.Exchange(outgoing, incoming).ok());
        for (int r = 0; r < ranks; ++r) {
          if (r == self) continue;
          const std::string want = text(r, self, call);
          ASSERT_EQ(
              std::string(reinterpret_cast<const char*>(buffers[static_cast<size_t>(r)].data()),
                          want.size()),
              want);
        }
      }
    });
  }
}

TEST(InProcess, EmptyMessages) {
  RunRanks(3, [](Transport& transport) {
    const std::vector<std::span<const std::byte>> outgoing(3);
    const std::vector<std::span<std::byte>> incoming(3);
    EXPECT_TRUE(transport.Exchange(outgoing, incoming).ok());
    EXPECT_TRUE(transport.AllReduceSum({}).ok());
  });
}

TEST(InProcess, OversizedMessageIsRefused) {
  RunRanks(2, [](Transport& transport) {
    const std::vector<std::byte> message(transport.rank() == 1 ? 17 : 16);
    std::vector<std::byte> buffer(16, std::byte{7});
    const std::vector<std::span<const std::byte>> outgoing(2, message);
    const std::vector<std::span<std::byte>> incoming(2, buffer);
    const Status status = transport.Exchange(outgoing, incoming);
    if (transport.rank() == 1) {
      EXPECT_TRUE(status.ok()) << status.message();
      return;
    }
    EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
    for (const char* part : {"rank 1 sent 17 bytes", "16"}) {
      EXPECT_NE(status.message().find(part), std::string::npos) << status.message();
    }
    EXPECT_EQ(buffer, std::vector<std::byte>(16, std::byte{7})) << "nothing was written";
  });
}

TEST(InProcess, SumsOfDifferentSizesAreRefused) {
  RunRanks(2, [](Transport& transport) {
    std::vector<float> values(transport.rank() == 0 ? 3 : 4);
    EXPECT_EQ(transport.AllReduceSum(values).code(), StatusCode::kInvalidArgument);
  });
}

}  // namespace
}  // namespace cddp

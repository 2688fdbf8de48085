// A peer whose frames are not what they should be is named, and nothing of them
// reaches the gradient.
#include <gtest/gtest.h>

#include <atomic>
#include <string>

#include "tests/collective/rank_group.h"
#include "tests/collective/tampering_transport.h"

namespace cddp {
namespace {

constexpr int kRanks = 3;
constexpr int kTamperer = 1;
constexpr size_t kFrameBytes = 40 + 2 + 3 + 4 * 3;  // header, runs, indices, values

// Two steps in which rank 1's frames are altered on their way in the second.
// Returns how many of the other ranks refused them as they should.
int RefusalsOf(const TamperingTransport::Tamper& tamper) {
  std::atomic<int> refusals = 0;
  RunRanks(kRanks, [&](Transport& transport) {
    bool tampering = false;
    TamperingTransport tampered(&transport, [&](std::vector<std::byte>* message) {
      if (tampering && transport.rank() == kTamperer) tamper(message);
    });
    const auto gather = GatherOver(&tampered, 0.1);
    OwnedBucket bucket(5, {30});
    FillGradient(transport.rank(), 0, &bucket);
    ASSERT_TRUE(gather->AllReduceMean(bucket.At(0)).ok());
    ASSERT_EQ(gather->EndStep(), StepOutcome::kCommitted);

    tampering = true;
    FillGradient(transport.rank(), 1, &bucket);
    const std::vector<float> gradient = bucket.values;
    const Status status = gather->AllReduceMean(bucket.At(1));
    if (transport.rank() == kTamperer) {
      EXPECT_TRUE(status.ok()) << status.message();
      return;
    }
    EXPECT_EQ(status.code(), StatusCode::kCorrupt) << status.message();
    EXPECT_NE(status.message().find("rank 1"), std::string::npos) << status.message();
    EXPECT_EQ(bucket.values, gradient) << "nothing of it was added";
    refusals += status.code() == StatusCode::kCorrupt;
  });
  return refusals;
}

TEST(CorruptPeer, FlippedBitInEveryByteNamesTheRank) {
  for (size_t byte = 0; byte < kFrameBytes; ++byte) {
    SCOPED_TRACE(::testing::Message() << "byte " << byte);
    EXPECT_EQ(RefusalsOf([byte](std::vector<std::byte>* message) {
                ASSERT_EQ(message->size(), kFrameBytes);
                (*message)[byte] ^= std::byte{1} << (byte % 8);
              }),
              kRanks - 1);
    if (::testing::Test::HasFailure()) return;
  }
}

// What rank 1 sends to the owners, and what it sends as an owner.
TEST(CorruptPeer, FlippedBitOfSplitNamesTheRankInBothExchanges) {
  for (int exchange : {0, 1}) {
    for (size_t byte = 0; byte < 100; ++byte) {
      SCOPED_TRACE(::testing::Message() << "exchange " << exchange << ", byte " << byte);
      std::atomic<int> refusals = 0;
      RunRanks(kRanks, [&](Transport& transport) {
        int messages = 0;  // of this step, one to each rank in an exchange
        bool tampering = false;
        TamperingTransport tampered(&transport, [&](std::vector<std::byte>* message) {
          if (messages++ / kRanks != exchange || !tampering || message->empty()) return;
          (*message)[byte % message->size()] ^= std::byte{1} << (byte % 8);
        });
        std::unique_ptr<Collective> split;
        ASSERT_TRUE(MakeSplitCollective(&tampered, {.ratio = 0.01}, 1, &split).ok());
        OwnedBucket bucket(5, {20'000});
        FillGradient(transport.rank(), 0, &bucket);
        ASSERT_TRUE(split->AllReduceMean(bucket.At(0)).ok());
        ASSERT_EQ(split->EndStep(), StepOutcome::kCommitted);

        messages = 0;
        tampering = transport.rank() == kTamperer;
        FillGradient(transport.rank(), 1, &bucket);
        const Status status = split->AllReduceMean(bucket.At(1));
        if (transport.rank() == kTamperer) return;
        EXPECT_EQ(status.code(), StatusCode::kCorrupt) << status.message();
        EXPECT_NE(status.message().find("rank 1"), std::string::npos) << status.message();
        refusals += status.code() == StatusCode::kCorrupt;
      });
      ASSERT_EQ(refusals, kRanks - 1);
    }
  }
}

TEST(CorruptPeer, ReplayedFrameIsRefused) {
  std::vector<std::byte> first;
  RunRanks(2, [&](Transport& transport) {
    TamperingTransport tampered(&transport, [&](std::vector<std::byte>* message) {
      if (transport.rank() != kTamperer) return;
      if (first.empty()) first = *message;
      *message = first;
    });
    const auto gather = GatherOver(&tampered, 0.1);
    OwnedBucket bucket(5, {30});
    for (uint64_t step = 0; step < 2; ++step) {
      FillGradient(transport.rank(), step, &bucket);
      const Status status = gather->AllReduceMean(bucket.At(step));
      if (transport.rank() == kTamperer || step == 0) {
        ASSERT_TRUE(status.ok()) << status.message();
        continue;
      }
      EXPECT_EQ(status.code(), StatusCode::kCorrupt);
      EXPECT_NE(status.message().find("step 1 expected, got 0"), std::string::npos)
          << status.message();
    }
  });
}

// What a short message leaves unspecified in the buffer, the frame must not make up for.
TEST(CorruptPeer, EmptyMessageIsRefused) {
  EXPECT_EQ(RefusalsOf([](std::vector<std::byte>* message) { message->clear(); }), kRanks - 1);
}

TEST(CorruptPeer, HeaderWithoutPayloadIsRefused) {
  EXPECT_EQ(RefusalsOf([](std::vector<std::byte>* message) { message->resize(40); }), kRanks - 1);
}

}  // namespace
}  // namespace cddp

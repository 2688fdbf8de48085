#include "ddp/torch_error.h"

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <new>

namespace cddp {
namespace {

const char* const kNeeded = "CUDA out of memory. Tried to allocate 2.00 GiB";

void Exhaust() { TORCH_CHECK_WITH(OutOfMemoryError, false, kNeeded); }

TEST(TorchErrorTest, MemoryThatRanOutSaysWhatToLower) {
  try {
    NamingOutOfMemory(Exhaust);
    FAIL();
  } catch (const StatusError& error) {
    EXPECT_EQ(error.code(), StatusCode::kUnavailable);
    const std::string message = error.what();
    EXPECT_NE(message.find(kNeeded), std::string::npos) << message;
    EXPECT_NE(message.find("lower --batch-size"), std::string::npos) << message;
    EXPECT_EQ(message.find('\n'), std::string::npos) << message;
  }
}

// Where the context of a process, or a library's workspace, finds no room.
TEST(TorchErrorTest, CudaAndItsLibrariesSayItInWords) {
  for (const char* text : {"CUDA error: out of memory", "CUDA error: CUBLAS_STATUS_ALLOC_FAILED"}) {
    EXPECT_THROW(NamingOutOfMemory([&] { TORCH_CHECK(false, text); }), StatusError) << text;
  }
  EXPECT_THROW(NamingOutOfMemory([] { TORCH_CHECK(false, "sizes differ"); }), c10::Error);
}

TEST(TorchErrorTest, TheHostsMemoryCanRunOutToo) {
  EXPECT_TRUE(OutOfMemory(std::bad_alloc()));
  try {
    (void)torch::empty({int64_t{1} << 46});
    FAIL();
  } catch (const std::exception& error) {
    EXPECT_TRUE(OutOfMemory(error)) << error.what();
  }
}

TEST(TorchErrorTest, MemoryThatRanOutIsNoLostPeer) {
  const auto code = [](const auto& call) {
    try {
      RethrowAsPeerLost("an exchange", call);
    } catch (const StatusError& error) {
      return error.code();
    }
    return StatusCode::kOk;
  };
  EXPECT_EQ(code(Exhaust), StatusCode::kUnavailable);
  EXPECT_EQ(code([] { TORCH_CHECK(false, "Connection closed by peer"); }), StatusCode::kPeerLost);
}

}  // namespace
}  // namespace cddp

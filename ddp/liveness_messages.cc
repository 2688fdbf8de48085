#include "ddp/liveness_messages.h"

#include <algorithm>

namespace cddp {
namespace {

constexpr size_t kHelloRankAt = 20;
constexpr size_t kHead = 2;
constexpr size_t kRankSize = 4;
constexpr size_t kMaxReason = 200;

void AppendNumber(std::string& out, uint64_t value, int bytes) {
  for (int i = 0; i < bytes; ++i) out.push_back(static_cast<char>(value >> (8 * i)));
}

uint32_t ReadNumber(const std::string& in, size_t at) {
  uint32_t value = 0;
  for (int i = 0; i < 4; ++i) value |= uint32_t{static_cast<uint8_t>(in[at + i])} << (8 * i);
  return value;
}

std::string Encode(LivenessMessageKind kind, const std::string& payload) {
  return std::string{static_cast<char>(kind), static_cast<char>(payload.size())} + payload;
}

}  // namespace

std::string Hello(int rank, int world_size, uint64_t token) {
  std::string hello = "cddplive";
  AppendNumber(hello, token, 8);
  AppendNumber(hello, static_cast<uint64_t>(world_size), 4);
  AppendNumber(hello, static_cast<uint64_t>(rank), 4);
  return hello;
}

int RankInHello(const std::string& hello) {
  return static_cast<int>(ReadNumber(hello, kHelloRankAt));
}

std::string EncodeMessage(LivenessMessageKind kind) { return Encode(kind, ""); }

std::string EncodeLoss(const Loss& loss) {
  std::string payload;
  AppendNumber(payload, static_cast<uint64_t>(loss.rank), kRankSize);
  payload += loss.reason.substr(0, kMaxReason);
  return Encode(LivenessMessageKind::kLost, payload);
}

std::optional<LivenessMessage> TakeMessage(std::string& inbox) {
  if (inbox.size() < kHead) return std::nullopt;
  const size_t size = kHead + static_cast<uint8_t>(inbox[1]);
  if (inbox.size() < size) return std::nullopt;
  LivenessMessage message{static_cast<LivenessMessageKind>(inbox[0]),
                          inbox.substr(kHead, size - kHead)};
  inbox.erase(0, size);
  return message;
}

std::optional<Loss> ReadLoss(const LivenessMessage& message) {
  if (message.kind != LivenessMessageKind::kLost || message.payload.size() < kRankSize) {
    return std::nullopt;
  }
  Loss loss{static_cast<int>(ReadNumber(message.payload, 0)), message.payload.substr(kRankSize)};
  std::ranges::replace_if(
      loss.reason, [](char c) { return c < ' ' || c > '~'; }, '?');
  return loss;
}

}  // namespace cddp

// The bytes that a liveness connection carries.
//
// Both sides open it with a hello of 24 bytes. A rank that joins sends its own
// at once; rank 0 checks it and answers with its own, or closes the connection.
//
//   bytes  content
//       8  "cddplive"
//       8  the token of the run
//       4  the world size
//       4  the rank of the sender
//
// After that each side sends messages, of 2 to 257 bytes:
//
//   bytes  content
//       1  the kind: 'H', 'B', 'Q' or 'L'
//       1  n, the length of the payload
//       n  the payload; for 'L' the lost rank in 4 bytes and the reason in text
//
// Numbers are little endian. Thread safety: pure functions of their arguments.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "ddp/liveness.h"

namespace cddp {

constexpr size_t kHelloSize = 24;

// How long either side waits for the other's hello.
constexpr std::chrono::milliseconds kHandshakeTime{5000};

std::string Hello(int rank, int world_size, uint64_t token);

// The rank that a hello of kHelloSize bytes names; any int, as it is not checked.
int RankInHello(const std::string& hello);

enum class LivenessMessageKind : char {
  kHeartbeat = 'H',
  kBye = 'B',   // the sender leaves for good reason
  kQuit = 'Q',  // the sender gives up on an error, maybe caused by another rank's end
  kLost = 'L',  // a rank was lost
};

struct LivenessMessage {
  LivenessMessageKind kind;  // from a peer: any char
  std::string payload;
};

// The bytes of a message without payload.
std::string EncodeMessage(LivenessMessageKind kind);

// The bytes of a kLost message; a reason beyond 200 bytes is cut.
std::string EncodeLoss(const Loss& loss);

// Moves the first message out of `inbox`; nothing while it is incomplete.
std::optional<LivenessMessage> TakeMessage(std::string& inbox);

// What a kLost message tells, unprintable characters replaced by '?'; nothing of
// another kind, or of a payload too short. The rank may be any int.
std::optional<Loss> ReadLoss(const LivenessMessage& message);

}  // namespace cddp

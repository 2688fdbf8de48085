#include "collective/agreement.h"

#include <algorithm>
#include <vector>

namespace cddp {

Status BroadcastFromRank0(Transport* transport, std::span<std::byte> message) {
  const auto ranks = static_cast<size_t>(transport->world_size());
  const bool tells = transport->rank() == 0;
  std::vector<std::span<const std::byte>> outgoing(ranks);
  std::vector<std::span<std::byte>> incoming(ranks);
  if (tells) std::ranges::fill(outgoing, message);
  if (!tells) incoming[0] = message;
  return transport->Exchange(outgoing, incoming);
}

Status AgreeWithRank0(Transport* transport, bool* value) {
  std::byte said{static_cast<uint8_t>(*value)};
  CDDP_RETURN_IF_ERROR(BroadcastFromRank0(transport, std::span(&said, 1)));
  *value = std::to_integer<int>(said) != 0;
  return Status::Ok();
}

}  // namespace cddp

#include "collective/agreed_budgets.h"

#include <fmt/format.h>

#include <algorithm>

namespace cddp {
namespace {

// More than squares of floats can add up to; the sums over ranks stay finite.
constexpr double kMostEnergy = 1e100;

}  // namespace

Status AgreeOnBudgets(uint64_t step, Transport* transport, Compressor* compressor) {
  if (!compressor->BudgetsDue(step)) return Status::Ok();
  const auto ranks = static_cast<size_t>(transport->world_size());
  const auto self = static_cast<size_t>(transport->rank());
  const std::vector<double> own = compressor->Energies();
  const size_t bytes = own.size() * sizeof(double);
  std::vector<double> all(ranks * own.size());
  const std::vector<std::span<const std::byte>> outgoing(ranks, std::as_bytes(std::span(own)));
  std::vector<std::span<std::byte>> incoming(ranks);
  for (size_t r = 0; r < ranks; ++r) {
    incoming[r] = std::as_writable_bytes(std::span(all)).subspan(r * bytes, bytes);
  }
  CDDP_RETURN_IF_ERROR(transport->Exchange(outgoing, incoming));
  std::ranges::copy(own, all.begin() + static_cast<ptrdiff_t>(self * own.size()));

  std::vector<double> sums(own.size());
  for (size_t i = 0; i < all.size(); ++i) {
    if (!(all[i] >= 0 && all[i] <= kMostEnergy)) {
      return Status::Corrupt(
          fmt::format("gradient energy of rank {}, step {}: {}", i / own.size(), step, all[i]));
    }
    sums[i % own.size()] += all[i];
  }
  compressor->ShareBudgets(sums);
  return Status::Ok();
}

}  // namespace cddp

#include "trainer/nearest_name.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <numeric>

#include "cddp/status.h"

namespace cddp {
namespace {

size_t Distance(const std::string& a, const std::string& b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t substituted = diagonal + (a[i - 1] != b[j - 1]);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, substituted});
    }
  }
  return row[b.size()];
}

}  // namespace

std::string NearestName(const std::string& name, const std::vector<std::string>& known) {
  std::string nearest;
  // A third of its letters may be wrong.
  const size_t dashes = std::min(name.find_first_not_of('-'), name.size());
  size_t best = (name.size() - dashes + 2) / 3 + 1;
  for (const std::string& candidate : known) {
    const size_t distance = Distance(name, candidate);
    if (distance < best) {
      best = distance;
      nearest = candidate;
    }
  }
  return nearest;
}

std::string UnknownName(const std::string& kind, const std::string& name,
                        const std::vector<std::string>& known) {
  const std::string nearest = NearestName(name, known);
  const std::string hint = nearest.empty() ? "" : fmt::format(" did you mean \"{}\"?", nearest);
  return fmt::format("unknown {} \"{}\";{} known: {}", kind, name, hint, fmt::join(known, ", "));
}

void RequireName(const std::string& kind, const std::string& name,
                 const std::vector<std::string>& known) {
  if (std::ranges::find(known, name) != known.end()) return;
  throw StatusError(StatusCode::kInvalidArgument, UnknownName(kind, name, known));
}

}  // namespace cddp

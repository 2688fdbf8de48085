#include "collective/shards.h"

#include <algorithm>
#include <numeric>

namespace cddp {
namespace {

// FNV-1a: the same on every machine.
uint32_t HashOf(const std::string& name) {
  uint32_t hash = 2166136261u;
  for (char c : name) hash = (hash ^ static_cast<uint8_t>(c)) * 16777619u;
  return hash;
}

}  // namespace

Shards::Shards(const Bucket& bucket, int world_size)
    : world_size_(static_cast<size_t>(world_size)),
      parameters_(bucket.parameters.begin(), bucket.parameters.end()),
      layout_(world_size_) {
  for (const BucketParameter& parameter : parameters_) {
    const auto ranks = static_cast<uint32_t>(world_size_);
    const uint32_t first = HashOf(parameter.name) % ranks;
    first_owner_.push_back(first);
    const uint32_t blocks = (parameter.count + kOwnerBlock - 1) / kOwnerBlock;
    for (uint32_t owner = 0; owner < ranks; ++owner) {
      // Of `blocks` blocks, those whose number is (owner - first) modulo the ranks.
      const uint32_t turn = (owner + ranks - first) % ranks;
      const uint32_t own = blocks > turn ? (blocks - turn - 1) / ranks + 1 : 0;
      uint32_t count = own * kOwnerBlock;
      const bool has_last = own > 0 && turn + (own - 1) * ranks == blocks - 1;
      if (has_last) count -= blocks * kOwnerBlock - parameter.count;
      std::vector<BucketParameter>& layout = layout_[owner];
      const uint32_t offset = layout.empty() ? 0 : layout.back().offset + layout.back().count;
      layout.push_back({parameter.name, offset, count});
    }
  }
}

bool Shards::IsOf(const Bucket& bucket) const {
  return std::ranges::equal(parameters_, bucket.parameters);
}

std::span<const BucketParameter> Shards::Layout(int owner) const {
  return layout_[static_cast<size_t>(owner)];
}

uint32_t Shards::elements(int owner) const {
  const auto layout = Layout(owner);
  return layout.empty() ? 0 : layout.back().offset + layout.back().count;
}

int Shards::OwnerOf(size_t parameter, uint32_t element) const {
  return static_cast<int>((first_owner_[parameter] + element / kOwnerBlock) %
                          static_cast<uint32_t>(world_size_));
}

void Shards::Deal(const Selection& entries, std::span<const size_t> run_ends_of_bucket,
                  std::vector<Selection>* parts, std::vector<std::vector<size_t>>* run_ends) const {
  parts->resize(world_size_);
  run_ends->resize(world_size_);
  for (size_t o = 0; o < world_size_; ++o) {
    (*parts)[o].Clear();
    (*run_ends)[o].clear();
  }
  size_t entry = 0;
  for (size_t p = 0; p < run_ends_of_bucket.size(); ++p) {
    for (; entry < run_ends_of_bucket[p]; ++entry) {
      const uint32_t element = entries.indices[entry] - parameters_[p].offset;
      const auto owner = static_cast<size_t>(OwnerOf(p, element));
      const uint32_t turn = element / kOwnerBlock / static_cast<uint32_t>(world_size_);
      Selection& part = (*parts)[owner];
      part.indices.push_back(layout_[owner][p].offset + turn * kOwnerBlock + element % kOwnerBlock);
      part.values.push_back(entries.values[entry]);
    }
    for (size_t o = 0; o < world_size_; ++o) (*run_ends)[o].push_back((*parts)[o].size());
  }
}

void Shards::Collect(const std::vector<Selection>& parts, Selection* entries) const {
  std::vector<size_t> next(world_size_, 0);
  size_t parameter = 0;
  for (size_t entry = 0; entry < entries->size(); ++entry) {
    const uint32_t index = entries->indices[entry];
    while (index >= parameters_[parameter].offset + parameters_[parameter].count) ++parameter;
    const auto owner =
        static_cast<size_t>(OwnerOf(parameter, index - parameters_[parameter].offset));
    entries->values[entry] = parts[owner].values[next[owner]++];
  }
}

void Shards::Scatter(int owner, std::span<const uint32_t> indices, std::span<const float> values,
                     std::span<float> dense) const {
  const auto ranks = static_cast<uint32_t>(world_size_);
  const auto layout = Layout(owner);
  size_t parameter = 0;
  for (size_t i = 0; i < indices.size(); ++i) {
    while (indices[i] >= layout[parameter].offset + layout[parameter].count) ++parameter;
    const uint32_t element = indices[i] - layout[parameter].offset;
    const uint32_t turn = (static_cast<uint32_t>(owner) + ranks - first_owner_[parameter]) % ranks;
    const uint32_t block = element / kOwnerBlock * ranks + turn;
    dense[parameters_[parameter].offset + block * kOwnerBlock + element % kOwnerBlock] = values[i];
  }
}

std::vector<size_t> OwnerShares(size_t budget, std::span<const uint32_t> elements) {
  const auto all = std::accumulate(elements.begin(), elements.end(), uint64_t{0});
  std::vector<size_t> shares(elements.size(), 0);
  if (all == 0) return shares;
  budget = std::min<size_t>(budget, all);
  std::vector<std::pair<uint64_t, size_t>> remainders;  // larger first, then lower owners
  size_t dealt = 0;
  for (size_t o = 0; o < elements.size(); ++o) {
    const uint64_t exact = uint64_t{budget} * elements[o];  // times `all`
    shares[o] = exact / all;
    dealt += shares[o];
    remainders.push_back({exact % all, o});
  }
  std::ranges::sort(remainders, [](const auto& a, const auto& b) {
    return a.first != b.first ? a.first > b.first : a.second < b.second;
  });
  // Fewer than there are owners are left, and none of them has a remainder of zero: so no
  // share exceeds what its owner has.
  for (size_t i = 0; dealt < budget; ++i, ++dealt) ++shares[remainders[i].second];
  return shares;
}

}  // namespace cddp

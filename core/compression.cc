#include "cddp/compression.h"

namespace cddp {

size_t EntriesByRatio(const CompressorOptions& options, uint32_t elements) {
  return elements <= options.whole_limit ? elements : SelectionCount(elements, options.ratio);
}

void Compression::Count(const Bucket& bucket, std::span<const size_t> run_ends) {
  statistics_.elements += bucket.values.size();
  size_t begin = 0;
  for (size_t p = 0; p < run_ends.size(); ++p) {
    ParameterStatistics& statistics = parameter_statistics_[bucket.parameters[p].name];
    statistics.elements = bucket.parameters[p].count;
    ++statistics.steps;
    statistics.entries += run_ends[p] - begin;
    begin = run_ends[p];
  }
  statistics_.entries += begin;
}

}  // namespace cddp

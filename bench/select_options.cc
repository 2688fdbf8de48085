// What `cddp bench select` is told, and the cases that follow from it.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <limits>

#include "bench/select_bench.h"
#include "cddp/memory.h"
#include "cddp/selection.h"
#include "cddp/status.h"
#include "trainer/failure.h"
#include "trainer/nearest_name.h"
#include "trainer/number_range.h"

namespace cddp {
namespace {

const std::vector<size_t> kSizes = {1'000'000, 10'000'000, kUsualSize, 100'000'000};
const std::vector<double> kSelectRatios = {0.001, 0.01, 0.1};
const std::vector<int> kThreads = {1, 2};
constexpr int64_t kMaxElements = std::numeric_limits<uint32_t>::max();
constexpr int kMaxThreads = 1024;

void Check(const SelectBenchOptions& o) {
  if (o.elements) RequireRange("--elements", *o.elements, 1, kMaxElements);
  if (o.threads) RequireRange("--threads", *o.threads, 1, kMaxThreads);
  if (o.distribution) RequireName("distribution", *o.distribution, DistributionNames());
  if (o.memory) RequireName("memory", *o.memory, MemoryNames());
  RequireRange("--steps", o.steps, 1, 1'000'000);
  if (o.ratio) RequireRatio(*o.ratio);
  if (o.distribution == "real" && o.gradients.empty()) {
    Refuse(
        "--distribution real needs recorded gradients: make them with cddp train "
        "--record-gradients FILE and give them with --gradients FILE");
  }
  if (!o.plot.empty() && o.elements) {
    Refuse("--plot draws time against size and needs more than one: leave out --elements");
  }
}

template <typename T, typename U>
std::vector<T> OneOrAll(const std::optional<U>& one, const std::vector<T>& all) {
  if (one) return {static_cast<T>(*one)};
  return all;
}

// Without a recording there are no real gradients.
std::vector<std::string> Distributions(const SelectBenchOptions& o) {
  std::vector<std::string> names = DistributionNames();
  if (o.gradients.empty()) std::erase(names, "real");
  return names;
}

}  // namespace

void AddSelectBenchOptions(CLI::App* app, SelectBenchOptions* o) {
  app->add_option("--elements", o->elements, "Elements of the gradient, 1 to 4294967295")
      ->group("Cases");
  app->add_option("--ratio", o->ratio, "Share that is selected, in (0, 1]")->group("Cases");
  app->add_option("--threads", o->threads, "Threads of every method, the triad's too")
      ->group("Cases");
  app->add_option("--distribution", o->distribution,
                  fmt::format("Of the gradient: {}", fmt::join(DistributionNames(), ", ")))
      ->group("Cases");
  app->add_option("--memory", o->memory,
                  fmt::format("Error feedback: {}", fmt::join(MemoryNames(), ", ")))
      ->group("Cases");
  app->add_option("--gradients", o->gradients,
                  "Recorded gradients, of cddp train --record-gradients: the distribution real")
      ->group("Cases");
  app->add_flag("--full", o->full, "Every combination (hours)")->group("Cases");
  app->add_option("--device", o->device,
                  "cpu, cuda or cuda:N: there with encoding, against the rate of a copy")
      ->group("Measurement");
  app->add_option("--steps", o->steps, "Timed steps of a case, after 20 others")
      ->group("Measurement");
  app->add_option("--seed", o->seed, "Seed of the gradients")
      ->check(NumberRange(0))
      ->group("Measurement");
  app->add_flag("--no-peers", o->no_peers,
                "Leave out topk, pipeline and nth_element, the slow ones")
      ->group("Measurement");
  app->add_option("--json", o->outputs.json, "Write as JSON to this file (-: standard output)")
      ->group("Output");
  app->add_option("--csv", o->outputs.csv, "Write the table as CSV to this file")->group("Output");
  app->add_option(
         "--plot", o->plot,
         "Draw time against size, of which there must be several, into this PNG file; data "
         "and gnuplot script are kept beside it")
      ->group("Output");
  app->footer(
      "Each case first compares some steps with an exact model (a difference ends it with exit\n"
      "code 1), then times, in turn and with cold caches:\n"
      "  select       accumulate, select, settle and commit, with the threshold of the last step\n"
      "  cold         the same without a threshold of the last step\n"
      "  triad        e = g + a e, the better of plain and streaming stores: memory speed\n"
      "  topk         at::topk of the magnitudes and gather\n"
      "  pipeline     residual, topk, gather, zeros, scatter, residual: as others do it\n"
      "  nth_element  std::nth_element on a copy of the magnitudes (one thread)\n"
      "Without options: sizes from 1 to 100 million, ratios 0.1%, 1% and 10%, 1 and 2 threads\n"
      "for normal gradients and a residual; other distributions and memories at 25557032 and\n"
      "1% (a quarter of an hour). With some of the first five: all cases that agree with them,\n"
      "the distribution being normal and the memory residual unless they are given.\n"
      "Examples:\n"
      "  cddp bench select --elements 25557032 --ratio 0.01 --threads 2\n"
      "  cddp bench select --distribution real --gradients gradients.cddg --ratio 0.01\n"
      "  cddp bench select --ratio 0.01 --threads 1 --plot selection.png\n"
      "  cddp bench select --device cuda");
}

std::vector<SelectCase> SelectCases(const SelectBenchOptions& o) {
  Check(o);
  const bool narrowed = o.elements || o.ratio || o.threads || o.distribution || o.memory;
  const std::vector<std::string> all = Distributions(o);
  std::vector<SelectCase> cases;
  const auto add = [&](const std::vector<std::string>& distributions,
                       const std::vector<std::string>& memories, const std::vector<size_t>& sizes,
                       const std::vector<double>& ratios) {
    for (const std::string& distribution : distributions) {
      for (const std::string& memory : memories) {
        for (size_t elements : sizes) {
          for (double ratio : ratios) {
            for (int threads : OneOrAll(o.threads, kThreads)) {
              cases.push_back({elements, ratio, threads, distribution, memory});
            }
          }
        }
      }
    }
  };
  const std::vector<std::string> normal = {"normal"};
  const std::vector<std::string> residual = {"residual"};
  add(OneOrAll(o.distribution, o.full ? all : normal),
      OneOrAll(o.memory, o.full ? MemoryNames() : residual), OneOrAll(o.elements, kSizes),
      OneOrAll(o.ratio, kSelectRatios));
  if (!narrowed && !o.full) {
    add({all.begin() + 1, all.end()}, residual, {kUsualSize}, {kUsualRatio});
    add(normal, {"dgc", "none"}, {kUsualSize}, {kUsualRatio});
  }
  return cases;
}

}  // namespace cddp

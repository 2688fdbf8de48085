#include "bench/wire_bench.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <limits>

#include "bench/cache_eviction.h"
#include "bench/device_bench.h"
#include "bench/wire_sets.h"
#include "cddp/frame.h"
#include "cddp/status.h"
#include "collective/sparse_sum.h"
#include "core/aligned.h"
#include "core/median.h"
#include "trainer/failure.h"
#include "trainer/nearest_name.h"
#include "trainer/number_range.h"
#include "trainer/report_file.h"

namespace cddp {
namespace {

constexpr int kRanks = 8;  // whose frames a mean is of
const std::vector<double> kWireRatios = {0.1, 0.01, 0.001, 0.0001};

constexpr std::array kWireColumns = {"set",
                                     "elements",
                                     "ratio",
                                     "entries",
                                     "indices",
                                     "values",
                                     "index_bits",
                                     "index_entropy_bits",
                                     "value_bits",
                                     "bytes_total",
                                     "bytes_per_entry",
                                     "reduction_vs_dense",
                                     "encode_mentries_s",
                                     "validate_mentries_s",
                                     "decode_mentries_s",
                                     "encode_dense_gb_s",
                                     "decode_dense_gb_s",
                                     "mean_of_8_ms",
                                     "plain_mean_of_8_ms",
                                     "mean_vs_plain",
                                     "value_rel_error"};

struct WireCase {
  std::string set;
  uint32_t elements;
  double ratio;
  std::string indices;
  std::string values;
};

void Check(const WireBenchOptions& o) {
  if (o.elements) {
    RequireRange("--elements", *o.elements, 1, std::numeric_limits<uint32_t>::max());
  }
  RequireRange("--steps", o.steps, 1, 1'000'000);
  if (o.values) RequireName("value codec", *o.values, ValueFormatNames());
  if (o.indices) RequireName("index codec", *o.indices, IndexFormatNames());
  if (o.set) RequireName("index set", *o.set, WireSetNames());
  if (o.ratio) RequireRatio(*o.ratio);
  if (o.set == "real" && o.gradients.empty()) {
    Refuse(
        "--set real needs recorded gradients: make them with cddp train --record-gradients FILE "
        "and give them with --gradients FILE");
  }
  if (o.set == "clustered" && o.ratio > 0.5) {
    Refuse(fmt::format("--set clustered takes half of some patches, at most; --ratio is {}",
                       *o.ratio));
  }
  if (o.set == "real" && o.elements) {
    Refuse("--set real has as many elements as its recording: leave out --elements");
  }
}

// All codecs of each kind with the usual one of the other, for each set and ratio; or
// those that agree with the options.
std::vector<WireCase> Cases(const WireBenchOptions& o) {
  const bool narrowed = o.elements || o.ratio || o.values || o.indices || o.set;
  std::vector<std::string> sets = {o.set.value_or("uniform")};
  if (!narrowed) sets.push_back("clustered");
  if (!narrowed && !o.gradients.empty()) sets.push_back("real");
  const std::vector<double> ratios = o.ratio    ? std::vector{*o.ratio}
                                     : narrowed ? std::vector{kUsualRatio}
                                                : kWireRatios;
  const auto elements = static_cast<uint32_t>(o.elements.value_or(kUsualSize));
  std::vector<WireCase> cases;
  for (const std::string& set : sets) {
    for (double ratio : ratios) {
      if (narrowed) {
        cases.push_back(
            {set, elements, ratio, o.indices.value_or("auto"), o.values.value_or("int4")});
        continue;
      }
      for (const std::string& values : ValueFormatNames()) {
        cases.push_back({set, elements, ratio, "auto", values});
      }
      for (const char* indices : {"rice", "bitmap", "raw32"}) {
        cases.push_back({set, elements, ratio, indices, "int4"});
      }
    }
  }
  return cases;
}

// Bits per index of a set of so many, all being equally likely.
double EntropyBits(size_t entries, uint32_t elements) {
  const double p = static_cast<double>(entries) / elements;
  if (p <= 0 || p >= 1) return 0;
  return -(p * std::log2(p) + (1 - p) * std::log2(1 - p)) / p;
}

double RelativeError(std::span<const float> decoded, std::span<const float> values) {
  double error = 0;
  double norm = 0;
  for (size_t i = 0; i < values.size(); ++i) {
    error += std::pow(double{decoded[i]} - values[i], 2);
    norm += std::pow(double{values[i]}, 2);
  }
  return norm > 0 ? std::sqrt(error / norm) : 0;
}

class Stopwatch {
 public:
  template <typename Work>
  void Time(const Work& work) {
    const auto start = std::chrono::steady_clock::now();
    work();
    const auto end = std::chrono::steady_clock::now();
    ms_.push_back(std::chrono::duration<double, std::milli>(end - start).count());
  }
  double median_ms() const { return MedianOf(ms_); }

 private:
  std::vector<double> ms_;
};

nlohmann::json MeasureCase(const WireCase& c, const WireSet& set, const WireBenchOptions& o) {
  FrameFormat format{.stochastic = o.stochastic, .seed = static_cast<uint64_t>(o.seed)};
  ThrowIfError(ParseIndexFormat(c.indices, &format.indices));
  ThrowIfError(ParseValueFormat(c.values, &format.values));
  const FrameId id{.step = 1, .bucket = 0, .rank = 0, .elements = set.elements};
  const size_t entries = set.selection.size();
  std::vector<std::byte> frame;
  Selection coded;
  FrameView view;
  Selection decoded;
  AlignedFloats dense(set.elements);
  SparseSum sum;
  WorkerPool alone(1);
  CacheEviction eviction;
  Stopwatch encode, validate, decode, mean, plain;
  for (int step = 0; step <= o.steps; ++step) {
    coded = set.selection;
    encode.Time(
        [&] { ThrowIfError(EncodeFrame(format, id, set.run_ends, false, &coded, &frame)); });
    validate.Time([&] { ThrowIfError(ValidateFrame(frame, id, entries, &view)); });
    decode.Time([&] { ThrowIfError(DecodeFrame(frame, id, entries, &view, &decoded)); });
    if (decoded.indices != set.selection.indices || decoded.values != coded.values) {
      throw StatusError(StatusCode::kInternal, "a frame does not decode to what was encoded");
    }
    const std::vector<Selection> parts(kRanks, decoded);
    eviction.Run(alone);
    mean.Time([&] { sum.Into(parts, kRanks, dense); });
    eviction.Run(alone);
    plain.Time([&] {
      std::ranges::fill(dense, 0.0f);
      for (const Selection& part : parts) {
        for (size_t i = 0; i < entries; ++i) dense[part.indices[i]] += part.values[i];
      }
      for (float& value : dense) value /= kRanks;
    });
    if (step == 0) encode = validate = decode = mean = plain = Stopwatch();  // warm-up
  }

  const auto count = static_cast<double>(entries);
  const double dense_bytes = 4.0 * set.elements;
  return {{"set", c.set},
          {"elements", set.elements},
          {"ratio", c.ratio},
          {"entries", entries},
          {"indices", IndexFormatName(view.index_format)},
          {"values", c.values},
          {"index_bits", 8.0 * static_cast<double>(view.indices.size()) / count},
          {"index_entropy_bits", EntropyBits(entries, set.elements)},
          {"value_bits", 8.0 * static_cast<double>(view.values.size()) / count},
          {"bytes_total", frame.size()},
          {"bytes_per_entry", static_cast<double>(frame.size()) / count},
          {"reduction_vs_dense", dense_bytes / static_cast<double>(frame.size())},
          {"encode_mentries_s", count / encode.median_ms() / 1e3},
          {"validate_mentries_s", count / validate.median_ms() / 1e3},
          {"decode_mentries_s", count / decode.median_ms() / 1e3},
          {"encode_dense_gb_s", dense_bytes / encode.median_ms() / 1e6},
          {"decode_dense_gb_s", dense_bytes / decode.median_ms() / 1e6},
          {"mean_of_8_ms", mean.median_ms()},
          {"plain_mean_of_8_ms", plain.median_ms()},
          {"mean_vs_plain", plain.median_ms() / mean.median_ms()},
          {"value_rel_error", RelativeError(decoded.values, set.selection.values)}};
}

std::string WireTableHeader() {
  return fmt::format(
      "{:<9} {:>9} {:>6} {:<11} {:<5} {:>7} {:>7} {:>6} {:>9} {:>8} {:>7} {:>7} {:>7} {:>8}\n"
      "{:<9} {:>9} {:>6} {:<11} {:<5} {:>7} {:>7} {:>6} {:>9} {:>8} {:>7} {:>7} {:>7} {:>8}",
      "", "", "", "", "", "index", "entropy", "value", "", "smaller", "encode", "decode", "mean",
      "relative", "set", "elements", "ratio", "indices", "value", "bits", "bits", "bits", "bytes",
      "than 4N", "M/s", "M/s", "/plain", "error");
}

std::string WireTableLine(const nlohmann::json& row) {
  const auto number = [&](const char* key) { return row.at(key).get<double>(); };
  return fmt::format(
      "{:<9} {:>9} {:>6} {:<11} {:<5} {:>7.3f} {:>7.3f} {:>6.2f} {:>9} {:>7.1f}x {:>7.0f} {:>7.0f} "
      "{:>6.2f}x {:>8.5f}",
      row.at("set").get<std::string>(), row.at("elements").get<uint64_t>(), number("ratio"),
      row.at("indices").get<std::string>(), row.at("values").get<std::string>(),
      number("index_bits"), number("index_entropy_bits"), number("value_bits"),
      row.at("bytes_total").get<uint64_t>(), number("reduction_vs_dense"),
      number("encode_mentries_s"), number("decode_mentries_s"), number("mean_vs_plain"),
      number("value_rel_error"));
}

}  // namespace

void AddWireBenchOptions(CLI::App* app, WireBenchOptions* o) {
  app->add_option("--elements", o->elements, "Elements of the gradient, 1 to 4294967295")
      ->group("Cases");
  app->add_option("--ratio", o->ratio, "Share of them that is sent, in (0, 1]")->group("Cases");
  app->add_option("--values", o->values,
                  fmt::format("Value codec: {}", fmt::join(ValueFormatNames(), ", ")))
      ->group("Cases");
  app->add_option("--indices", o->indices,
                  fmt::format("Index codec: {}", fmt::join(IndexFormatNames(), ", ")))
      ->group("Cases");
  app->add_option("--set", o->set,
                  fmt::format("Which indices are sent: {}", fmt::join(WireSetNames(), ", ")))
      ->group("Cases");
  app->add_option("--gradients", o->gradients,
                  "Recorded gradients, of cddp train --record-gradients: the set real")
      ->group("Cases");
  app->add_flag("--stochastic-rounding", o->stochastic, "Round int8 and int4 by chance")
      ->group("Cases");
  app->add_option("--device", o->device,
                  "cpu, cuda or cuda:N: there encoding, and the sum of 8 frames")
      ->group("Measurement");
  app->add_option("--steps", o->steps, "Timed repetitions of a case")->group("Measurement");
  app->add_option("--seed", o->seed, "Seed of the sets")
      ->check(NumberRange(0))
      ->group("Measurement");
  app->add_option("--json", o->outputs.json, "Write as JSON to this file (-: standard output)")
      ->group("Output");
  app->add_option("--csv", o->outputs.csv, "Write the table as CSV to this file")->group("Output");
  app->footer(
      "One thread. Bits are per entry, without header and runs; the entropy is that of a set\n"
      "of so many indices drawn by chance: clusters can take less. Encode and decode (all\n"
      "checks, into arrays) are in million entries per second; mean compares how the decoded\n"
      "entries of 8 workers become their mean in the gradient with plain loops that fill it\n"
      "with zeros, add the entries and divide, caches cold.\n"
      "Without options: all value codecs and the main index codecs, uniform and clustered\n"
      "sets, 25557032 elements, ratios from 10% to 0.01%. With some of the first five: the\n"
      "one case that they say, by default uniform, 25557032 elements, 1%, auto, int4.\n"
      "Examples:\n"
      "  cddp bench wire --ratio 0.01 --values int4 --indices rice\n"
      "  cddp bench wire --set real --gradients gradients.cddg --ratio 0.001\n"
      "  cddp bench wire --device cuda");
}

int WireBench(const WireBenchOptions& o) {
  if (o.device != "cpu") return WireBenchOnDevice(o);
  Check(o);
  RequireOutputs(o.outputs);
  Recording recording;
  if (!o.gradients.empty()) recording = ReadGradientRecording(o.gradients);
  std::FILE* table = TableStream(o.outputs.json);
  fmt::print(table, "{}\n", WireTableHeader());
  nlohmann::json rows = nlohmann::json::array();
  const std::vector<WireCase> cases = Cases(o);
  WireSet set;
  for (size_t i = 0; i < cases.size(); ++i) {
    const WireCase& c = cases[i];
    if (i == 0 || c.set != cases[i - 1].set || c.ratio != cases[i - 1].ratio) {
      spdlog::info("case {} of {}: {} indices, ratio {}", i + 1, cases.size(), c.set, c.ratio);
      set = MakeWireSet(c.set, c.elements, c.ratio, static_cast<uint64_t>(o.seed), &recording);
    }
    rows.push_back(MeasureCase(c, set, o));
    fmt::print(table, "{}\n", WireTableLine(rows.back()));
    std::fflush(table);
  }
  WriteOutputs(o.outputs, kWireColumns, rows, {{"steps", o.steps}, {"seed", o.seed}});
  return 0;
}

}  // namespace cddp

// bench_cuda: what cuda_bench.h measures, as a program of its own for machines without libtorch.
#include <CLI/CLI.hpp>
#include <fstream>
#include <iostream>
#include <sstream>

#include "bench/cuda/cuda_bench.h"
#include "cddp/status.h"

namespace cddp::cuda {
namespace {

// Elements of each parameter.
std::vector<uint32_t> CountsOf(const std::string& shapes) {
  std::ifstream in(shapes);
  if (!in) throw StatusError(StatusCode::kUnavailable, "cannot read " + shapes);
  std::vector<uint32_t> counts;
  for (std::string line; std::getline(in, line);) {
    std::istringstream words(line.substr(0, line.find('#')));
    std::string name;
    if (!(words >> name)) continue;
    uint32_t count = 1;
    for (uint32_t size; words >> size;) count *= size;
    counts.push_back(count);
  }
  return counts;
}

int Main(int argc, char** argv) {
  CudaBenchOptions options;
  std::string shapes;
  std::string json;
  uint32_t elements = 25'557'032;
  CLI::App app(
      "Selection, encoding and decoding on a GPU, against the time of their memory traffic");
  app.add_option(
      "--shapes", shapes,
      "File with a parameter a line, its name and sizes (cddp bench sync --print-shapes); "
      "default: one parameter of --elements");
  app.add_option("--elements", elements, "Of the one parameter")->capture_default_str();
  app.add_option("--steps", options.steps, "Timed")
      ->check(CLI::Range(8, 100000))
      ->capture_default_str();
  app.add_option("--ratios", options.ratios, "Shares that are sent")->delimiter(',');
  app.add_option("--memories", options.memories, "none, residual, dgc")
      ->delimiter(',')
      ->check(CLI::IsMember({"none", "residual", "dgc"}));
  app.add_option("--values", options.values, "fp32, bf16, int8, int4")
      ->delimiter(',')
      ->check(CLI::IsMember({"fp32", "bf16", "int8", "int4"}));
  app.add_option("--frames", options.frames, "That are decoded")
      ->check(CLI::Range(1, 64))
      ->capture_default_str();
  app.add_option("--json", json, "File for the numbers");
  CLI11_PARSE(app, argc, argv);
  try {
    options.parameters = shapes.empty() ? std::vector{elements} : CountsOf(shapes);
    Json report = CompressionOnCuda(options, stdout);
    report["shapes"] = shapes.empty() ? "one parameter" : shapes;
    report["compress"] = std::move(report["rows"]);
    report.erase("rows");
    report["decode"] = DecodingOnCuda(options, stdout)["rows"];
    if (!json.empty()) {
      std::ofstream out(json);
      out << report.dump(1) << "\n";
      if (!out.flush()) throw StatusError(StatusCode::kUnavailable, "cannot write " + json);
    }
  } catch (const StatusError& error) {
    std::cerr << "bench_cuda: " << error.what() << "\n";
    return 1;
  }
  return 0;
}

}  // namespace
}  // namespace cddp::cuda

int main(int argc, char** argv) { return cddp::cuda::Main(argc, argv); }

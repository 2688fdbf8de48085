#include "tests/fuzz/fuzz_files.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "cddp/status.h"
#include "trainer/config_file.h"
#include "trainer/data/cifar10.h"
#include "trainer/data/idx.h"
#include "trainer/data/temporary_folder.h"
#include "trainer/plan_file.h"
#include "trainer/safetensors.h"
#include "trainer/training_progress.h"

namespace cddp {
namespace {

void Require(bool condition) {
  if (!condition) std::abort();
}

// Whether `read` takes the bytes; if not, it says so with `code`.
bool Takes(const std::function<void()>& read, StatusCode code) {
  try {
    read();
    return true;
  } catch (const StatusError& error) {
    Require(error.code() == code);
    return false;
  }
}

bool operator==(const TensorView& a, const TensorView& b) {
  return a.type == b.type && a.shape == b.shape && std::ranges::equal(a.bytes, b.bytes);
}

}  // namespace

void FuzzSafetensors(std::span<const uint8_t> bytes) {
  const std::vector<uint8_t> input(bytes.begin(), bytes.end());
  const auto read = [&] {
    const Safetensors file = Safetensors::Parse(input, "input");
    for (const auto& [name, tensor] : file.tensors()) {
      uint64_t elements = 1;
      for (const uint64_t extent : tensor.shape) elements *= extent;
      Require(tensor.bytes.size() == elements * TensorTypeSize(tensor.type));
    }
    const SafetensorsParts parts = LayOutSafetensors(file.tensors(), file.metadata());
    std::vector<uint8_t> written(parts.header.begin(), parts.header.end());
    for (const auto& tensor : parts.tensors) {
      written.insert(written.end(), tensor.begin(), tensor.end());
    }
    const Safetensors again = Safetensors::Parse(written, "written");
    Require(std::ranges::equal(again.tensors(), file.tensors(), [](const auto& a, const auto& b) {
      return a.first == b.first && a.second == b.second;
    }));
    Require(again.metadata() == file.metadata());
  };
  Takes(read, StatusCode::kCorrupt);
}

void FuzzIdx(std::span<const uint8_t> bytes) {
  const auto images = [&] {
    const IdxImages found = ParseIdxImages(bytes, "input");
    Require(found.pixels.size() == uint64_t{found.count} * found.rows * found.cols);
  };
  const auto labels = [&] {
    const IdxLabels found = ParseIdxLabels(bytes, "input");
    Require(found.labels.size() == found.count);
  };
  Require(!(Takes(images, StatusCode::kCorrupt) && Takes(labels, StatusCode::kCorrupt)));
  Takes(labels, StatusCode::kCorrupt);
}

void FuzzCifar10(std::span<const uint8_t> bytes) {
  std::vector<uint8_t> pixels;
  std::vector<uint8_t> labels;
  const bool taken =
      Takes([&] { AppendCifar10(bytes, "input", &pixels, &labels); }, StatusCode::kCorrupt);
  Require(labels.empty() == !taken);
  Require(pixels.size() == labels.size() * kCifar10ImageBytes);
  for (const uint8_t label : labels) Require(label < kCifar10Classes);
}

void FuzzConfig(std::span<const uint8_t> bytes) {
  static const TemporaryFolder folder;
  const std::string path = (folder.path() / "run.yaml").string();
  std::ofstream(path, std::ios::binary)
      .write(reinterpret_cast<const char*>(bytes.data()),
             static_cast<std::streamsize>(bytes.size()));
  std::string text;
  int64_t whole = 0;
  double number = 0.5;
  std::vector<int> several;
  bool is_set = false;
  CLI::App app;
  app.add_option("--model", text)->check(CLI::IsMember({"simple_cnn", "resnet18"}));
  app.add_option("--batch-size", whole)->check(CLI::Range(1, 100));
  app.add_option("--lr", number)->check(CLI::Range(0.0, 1.0));
  app.add_option("--milestones", several)->delimiter(',');
  app.add_flag("--compress", is_set);
  ConfigArguments arguments;
  arguments.file = path;
  if (!Takes([&] { ApplyConfig(&arguments, &app, {"workers"}); }, StatusCode::kInvalidArgument)) {
    return;
  }
  Require(text.empty() || text == "simple_cnn" || text == "resnet18");
  Require(whole >= 0 && whole <= 100);
  Require(!(number < 0 || number > 1));  // CLI11 takes nan
}

void FuzzJson(std::span<const uint8_t> bytes) {
  const auto json = nlohmann::json::parse(bytes, nullptr, /*allow_exceptions=*/false);
  if (json.is_discarded()) return;
  const auto plan = [&] {
    const nlohmann::json found = ToJson(PlanFromJson(json, "input"));
    Require(ToJson(PlanFromJson(found, "written")) == found);
  };
  Takes(plan, StatusCode::kCorrupt);
  const auto progress = [&] {
    const nlohmann::json found = ToJson(ProgressFromJson(json));
    Require(ToJson(ProgressFromJson(found)) == found);
  };
  Takes(progress, StatusCode::kCorrupt);
  Takes([&] { EpochSumsFromJson(json); }, StatusCode::kCorrupt);
}

}  // namespace cddp

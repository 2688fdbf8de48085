#include "trainer/gradient_recording.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>

#include "cddp/status.h"
#include "core/sweep.h"
#include "trainer/data/file_bytes.h"

namespace cddp {
namespace {

static_assert(std::endian::native == std::endian::little, "the file holds numbers as memory does");

constexpr std::string_view kMagic = "CDDG";
constexpr uint32_t kRecordingVersion = 1;
constexpr uint64_t kCountAt = 8;  // of `records` in the file
constexpr uint32_t kMaxNameBytes = 4096;
constexpr uint64_t kMaxRecordingBytes = uint64_t{16} << 30;

template <typename T>
void Put(std::ofstream& file, T value) {
  file.write(reinterpret_cast<const char*>(&value), sizeof(T));
}

// Reads on from the front of the bytes.
class Reader {
 public:
  Reader(std::span<const uint8_t> bytes, const std::string& origin)
      : bytes_(bytes), origin_(origin) {}

  [[noreturn]] void Refuse(const std::string& why) const {
    throw StatusError(
        StatusCode::kCorrupt,
        fmt::format("{}: not a valid recording of gradients: {} (at byte {})", origin_, why, at_));
  }

  std::span<const uint8_t> Take(uint64_t count, const char* what) {
    if (count > bytes_.size() - at_) {
      Refuse(fmt::format("cut short: {} needs {} bytes, {} are left", what, count,
                         bytes_.size() - at_));
    }
    at_ += count;
    return bytes_.subspan(at_ - count, count);
  }

  template <typename T>
  T Number(const char* what) {
    T value;
    std::memcpy(&value, Take(sizeof(T), what).data(), sizeof(T));
    return value;
  }

  std::string Text(uint64_t count, const char* what) {
    const auto bytes = Take(count, what);
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  }

  uint64_t left() const { return bytes_.size() - at_; }

 private:
  std::span<const uint8_t> bytes_;
  const std::string& origin_;
  uint64_t at_ = 0;
};

RecordedParameter ReadParameter(Reader& reader) {
  const auto name_bytes = reader.Number<uint32_t>("the length of a name");
  const auto elements = reader.Number<uint32_t>("the number of elements");
  if (name_bytes == 0 || name_bytes > kMaxNameBytes) {
    reader.Refuse(fmt::format("a name has 1 to {} bytes, this one {}", kMaxNameBytes, name_bytes));
  }
  RecordedParameter parameter;
  parameter.name = reader.Text(name_bytes, "a name");
  if (elements == 0) reader.Refuse(fmt::format("parameter {} has no elements", parameter.name));
  const auto bytes = reader.Take(uint64_t{elements} * sizeof(float), "a gradient");
  parameter.gradient.resize(elements);
  std::memcpy(parameter.gradient.data(), bytes.data(), bytes.size());
  if (!AllFinite(parameter.gradient)) {
    reader.Refuse(fmt::format("the gradient of {} holds NaN or Inf", parameter.name));
  }
  return parameter;
}

// By name, each once, and as in the first step.
void FinishStep(const Reader& reader, RecordedStep& step, const RecordedStep& first) {
  std::ranges::sort(step.parameters, {}, &RecordedParameter::name);
  const auto twice = std::ranges::adjacent_find(step.parameters, {}, &RecordedParameter::name);
  if (twice != step.parameters.end()) {
    reader.Refuse(fmt::format("step {} has parameter {} twice", step.step, twice->name));
  }
  const auto alike = [](const RecordedParameter& a, const RecordedParameter& b) {
    return a.name == b.name && a.gradient.size() == b.gradient.size();
  };
  if (!std::ranges::equal(step.parameters, first.parameters, alike)) {
    reader.Refuse(
        fmt::format("the parameters of step {} are not those of step {}", step.step, first.step));
  }
}

}  // namespace

GradientRecorder::GradientRecorder(const std::filesystem::path& path)
    : path_(path), file_(path, std::ios::binary | std::ios::trunc) {
  file_.write(kMagic.data(), kMagic.size());
  Put(file_, kRecordingVersion);
  Put(file_, records_);
  file_.flush();
  Check();
}

void GradientRecorder::Add(uint64_t step, std::string_view parameter,
                           std::span<const float> gradient) {
  Put(file_, step);
  Put(file_, static_cast<uint32_t>(parameter.size()));
  Put(file_, static_cast<uint32_t>(gradient.size()));
  file_.write(parameter.data(), static_cast<std::streamsize>(parameter.size()));
  file_.write(reinterpret_cast<const char*>(gradient.data()),
              static_cast<std::streamsize>(gradient.size_bytes()));
  Check();
  ++records_;
}

void GradientRecorder::EndStep() {
  // The count last: whoever stops in between leaves a file that says so.
  file_.flush();
  file_.seekp(kCountAt);
  Put(file_, records_);
  file_.seekp(0, std::ios::end);
  file_.flush();
  Check();
}

void GradientRecorder::Check() {
  if (file_.good()) return;
  throw StatusError(StatusCode::kUnavailable,
                    fmt::format("cannot write the gradients to {}: {}; choose another file with "
                                "--record-gradients",
                                path_.string(), std::strerror(errno)));
}

std::vector<RecordedStep> ParseGradientRecording(std::span<const uint8_t> bytes,
                                                 const std::string& origin) {
  Reader reader(bytes, origin);
  if (const std::string magic = reader.Text(kMagic.size(), "the magic"); magic != kMagic) {
    reader.Refuse(fmt::format("it does not begin with {}", kMagic));
  }
  if (const auto version = reader.Number<uint32_t>("the version"); version != kRecordingVersion) {
    reader.Refuse(fmt::format("version {} expected, got {}", kRecordingVersion, version));
  }
  const auto records = reader.Number<uint64_t>("the number of records");
  if (records == 0) reader.Refuse("it holds no step");
  std::vector<RecordedStep> steps;
  for (uint64_t i = 0; i < records; ++i) {
    const auto step = reader.Number<uint64_t>("a step");
    if (steps.empty() || steps.back().step != step) {
      if (!steps.empty()) {
        if (step < steps.back().step) {
          reader.Refuse(fmt::format("step {} stands behind step {}", step, steps.back().step));
        }
        FinishStep(reader, steps.back(), steps.front());
      }
      steps.push_back({.step = step, .parameters = {}});
    }
    steps.back().parameters.push_back(ReadParameter(reader));
  }
  FinishStep(reader, steps.back(), steps.front());
  if (reader.left() > 0) reader.Refuse(fmt::format("{} trailing bytes", reader.left()));
  return steps;
}

std::vector<RecordedStep> ReadGradientRecording(const std::filesystem::path& path) {
  return ParseGradientRecording(ReadFileBytes(path, kMaxRecordingBytes), path.string());
}

}  // namespace cddp

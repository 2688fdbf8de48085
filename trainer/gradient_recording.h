// Gradients of a training as a file, to measure selection on what is really met.
//
// All numbers are little endian. A file is
//
//   "CDDG"                     4 bytes
//   version                    u32, 1
//   records                    u64
//   records, one after another, each
//     step                     u64
//     bytes of the name        u32, 1 to 4096
//     elements                 u32, at least 1
//     name of the parameter    UTF-8
//     gradient                 f32 per element, finite, in the order in which it is compressed:
//                              the parameter's in memory, which --channels-last changes
//
// and nothing behind it. Records of one step are neighbours; steps ascend. Every
// step has the same parameters with the same numbers of elements, each once; their
// order may differ from step to step, as DDP may regroup its buckets.
//
// The recorded step 7 of one parameter "b" with the gradient {1.0, -2.0}:
//
//   43 44 44 47  01 00 00 00  01 00 00 00 00 00 00 00
//   07 00 00 00 00 00 00 00  01 00 00 00  02 00 00 00  62
//   00 00 80 3f  00 00 00 c0
#pragma once

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace cddp {

struct RecordedParameter {
  std::string name;
  std::vector<float> gradient;
};

struct RecordedStep {
  uint64_t step = 0;
  std::vector<RecordedParameter> parameters;  // by name, ascending
};

// Writes a recording step by step. After each step the file is a whole recording.
// One thread at a time. All throw StatusError(kUnavailable) when the file cannot be
// written.
class GradientRecorder {
 public:
  // Replaces what is there.
  explicit GradientRecorder(const std::filesystem::path& path);

  // Gradients of one step, in any order, and its end.
  void Add(uint64_t step, std::string_view parameter, std::span<const float> gradient);
  void EndStep();

 private:
  void Check();

  std::filesystem::path path_;
  std::ofstream file_;
  uint64_t records_ = 0;
};

// The steps of a recording. Throws StatusError(kCorrupt), naming `origin`, when the
// bytes are not exactly one recording of at least one step.
std::vector<RecordedStep> ParseGradientRecording(std::span<const uint8_t> bytes,
                                                 const std::string& origin);

// The same from a file of at most 16 GiB; throws kUnavailable when it cannot be read.
std::vector<RecordedStep> ReadGradientRecording(const std::filesystem::path& path);

}  // namespace cddp

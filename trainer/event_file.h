// TensorBoard event files: scalars that `tensorboard --logdir` shows.
//
// A file is a row of TFRecords, each a serialised protobuf message tensorflow.Event
// (tensorflow/core/util/event.proto, framework/summary.proto, lib/io/record_writer.h):
//
//   uint64 length | uint32 masked CRC-32C of length | length bytes | uint32 masked CRC-32C of them
//
// little-endian. The first event says "brain.Event:2".
//
// One thread.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "trainer/append_file.h"

namespace cddp {

class EventFile {
 public:
  // Starts a new file in `folder`, named events.out.tfevents.<seconds>.<host>.<pid>.
  // Throws StatusError(kUnavailable), here and below.
  explicit EventFile(const std::filesystem::path& folder);

  // One event with these scalars, tag -> value; seconds since 1970. Reaches the file
  // whole, or, when the process is killed meanwhile, as a torn record at its end, which
  // readers leave out.
  void Append(double wall_time, int64_t step,
              std::span<const std::pair<std::string, float>> scalars);

 private:
  void AppendRecord(const std::string& event);

  AppendFile file_;
};

// CRC-32C (Castagnoli; RFC 3720, appendix B.4).
uint32_t Crc32c(std::string_view bytes);

}  // namespace cddp

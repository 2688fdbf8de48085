// MetricsLog: what a run measures, as it goes, in its folder: metrics.jsonl and, if wanted,
// a TensorBoard event file.
//
// metrics.jsonl holds one JSON object a line:
//
//   {"kind":"step","step":50,"wall_time":1700000000.5,"loss":0.31, ...}
//
// and TensorBoard shows the same as the scalars "step/loss" and so on. Every record is in
// the files when Append returns and stays there when the process is killed then; a kill
// during Append may leave a torn record at the end, which readers leave out.
//
// One thread.
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "trainer/append_file.h"
#include "trainer/event_file.h"

namespace cddp {

class MetricsLog {
 public:
  // `folder` exists. With `echo`, every line goes to standard output as well. Throws
  // StatusError(kUnavailable).
  MetricsLog(const std::filesystem::path& folder, bool tensorboard, bool echo = false);

  // `scalars` is an object of numbers, name -> value; what is not finite becomes null in
  // JSON, and null is left out of the event file. What cannot be written is left out, with a
  // warning the first time.
  void Append(const std::string& kind, uint64_t step, const nlohmann::json& scalars);

  // Why the first of the records that were left out could not be written; empty when none was.
  const std::string& failure() const { return failure_; }

 private:
  bool echo_;
  AppendFile lines_;
  std::optional<EventFile> events_;
  std::string failure_;
};

}  // namespace cddp

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
  // `folder` exists. Of a log that is there already, from before a resume, a torn last line
  // is cut off; then it goes on. Throws StatusError(kUnavailable), here and below.
  // With `echo`, every line goes to standard output as well.
  MetricsLog(const std::filesystem::path& folder, bool tensorboard, bool echo = false);

  // `scalars` is an object of numbers, name -> value; what is not finite becomes null in
  // JSON, and null is left out of the event file.
  void Append(const std::string& kind, uint64_t step, const nlohmann::json& scalars);

 private:
  bool echo_;
  AppendFile lines_;
  std::optional<EventFile> events_;
};

}  // namespace cddp

// The interface of a place that data files come from.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "trainer/data/catalog.h"

namespace cddp {

// What a fetch reports on its way. Both may be empty; both are called from the
// fetching thread and must not throw.
struct FetchCallbacks {
  // One line for the user, without a line break.
  std::function<void(const std::string& line)> log;
  // A transfer under way; total_bytes is 0 while unknown.
  std::function<void(const std::string& what, uint64_t done_bytes, uint64_t total_bytes)> progress;

  void Log(const std::string& line) const {
    if (log) log(line);
  }
};

// Delivers bytes; the caller decodes and verifies them, a source is never trusted.
// Thread safety: one thread at a time; a source may keep state between files (an
// unpacked package) until it is destroyed.
class Source {
 public:
  virtual ~Source() = default;

  // For messages, for example the address without the file name.
  virtual std::string description() const = 0;

  // Whether Read may use the network.
  virtual bool needs_network() const = 0;

  // The bytes of one file, decoded or gzip-compressed. Throws
  // StatusError(kUnavailable) if it cannot be had; the source is then not asked for
  // the files that remain.
  virtual std::vector<uint8_t> Read(const DataFile& file, const FetchCallbacks& callbacks) = 0;
};

}  // namespace cddp

// Getting the files of a data set into the data folder.
#pragma once

#include <filesystem>
#include <memory>
#include <span>

#include "trainer/data/catalog.h"
#include "trainer/data/source.h"

namespace cddp {

struct FetchOptions {
  FetchCallbacks callbacks;
  // Uses only what is on this machine: the data folder and installed packages.
  bool offline = false;
};

struct FetchSummary {
  int kept = 0;     // files that were there and verified
  int fetched = 0;  // files written by this call
};

// Makes <data_dir>/<name>/ hold its files, decoded and verified by SHA-256.
//
// Files that are there and verify are kept; a <file>.gz beside a missing file is
// decoded. What is missing or altered is taken from the sources in their order: a
// source that fails is logged, and the next one is tried for the files still
// missing. Each file appears whole or not at all, so an interrupted fetch is simply
// repeated.
//
// Throws StatusError(kUnavailable): before anything is downloaded, if the folder
// cannot be written; at the end, if files are still missing, with every source and
// why it failed, and where to put the files by hand.
//
// Thread safety: any thread, any process. Of two fetches into one folder the second
// waits for the first and then finds its files. Blocks, minutes on a slow network.
FetchSummary FetchDataset(const DatasetInfo& info, const std::filesystem::path& data_dir,
                          const FetchOptions& options);

// The same from `sources` instead of those of the catalog.
FetchSummary FetchDataset(const DatasetInfo& info, const std::filesystem::path& data_dir,
                          const FetchOptions& options,
                          std::span<const std::unique_ptr<Source>> sources);

}  // namespace cddp

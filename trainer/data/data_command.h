// What the commands under `cddp data` print.
//
// Names are names of the catalog; no names at all means every data set. An unknown
// one throws StatusError(kInvalidArgument) before anything is done. All three
// block and write to `os` from the calling thread only.
#pragma once

#include <filesystem>
#include <ostream>
#include <span>
#include <string>

namespace cddp {

// A table of the known data sets: name, images, classes, size, what is in the data
// folder, and below it what each one is and its sources. Looks at sizes only, digests nothing.
void ListDatasets(const std::filesystem::path& data_dir, std::ostream& os);

// Fetches the data sets one after another (see FetchDataset) and reports every file
// and every source that failed. `terminal` says that `os` is one: transfers then
// show a line that is rewritten in place; otherwise only finished files are printed.
// Throws StatusError(kUnavailable) at the first data set that cannot be had.
void FetchDatasets(std::span<const std::string> names, const std::filesystem::path& data_dir,
                   std::ostream& os, bool terminal, bool offline = false);

// Digests every file and prints its state; without names, of the data sets that are there.
// Returns whether there are any, and all of them are ok.
bool VerifyDatasets(std::span<const std::string> names, const std::filesystem::path& data_dir,
                    std::ostream& os);

}  // namespace cddp

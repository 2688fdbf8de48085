// Running another program to its end.
#pragma once

#include <chrono>
#include <filesystem>
#include <string>
#include <vector>

namespace cddp {

// Runs arguments[0], looked up on PATH, with the other arguments as they are (no
// shell), `folder` as its working folder and nothing on its standard input. Its
// output goes to `log_file`. Returns when it has ended with exit code 0.
//
// Throws StatusError(kUnavailable) if the program is not installed, cannot be
// started, ends otherwise (the message carries the last lines of its output), or
// is still running after `time_limit`; then it is killed with all processes of
// its group. The program also dies with the calling thread. Blocks meanwhile.
// Thread safety: any thread.
void RunProgram(const std::vector<std::string>& arguments, const std::filesystem::path& folder,
                const std::filesystem::path& log_file, std::chrono::milliseconds time_limit);

}  // namespace cddp

// A process under test: started with arguments and environment of its own, its
// output kept, its end waited for with a limit.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

namespace cddp {

// A folder that is removed at the end of the test.
class TestFolder {
 public:
  TestFolder();
  ~TestFolder();
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

std::string ReadText(const std::filesystem::path& path);

class Child {
 public:
  using Environment = std::map<std::string, std::string>;

  // Runs `arguments` ([0] is the program) with `environment` added to this one's,
  // less the launch variables. Works in, and writes its output to, `folder`.
  Child(const std::vector<std::string>& arguments, const Environment& environment,
        const std::filesystem::path& folder);
  ~Child();  // kills it if it is still there
  Child(Child&& other) noexcept;
  Child& operator=(Child&&) = delete;

  // The exit code, 128 + n after signal n, or -1 if it did not end in time (it is
  // killed then).
  int Wait(std::chrono::milliseconds limit = std::chrono::minutes(5));

  void Signal(int signal) const;
  pid_t pid() const { return pid_; }

  std::string out() const { return ReadText(out_); }
  std::string err() const { return ReadText(err_); }

 private:
  pid_t pid_ = -1;
  std::filesystem::path out_, err_;
};

}  // namespace cddp

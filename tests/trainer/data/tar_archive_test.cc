#include "trainer/data/tar_archive.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstring>
#include <map>

#include "cddp/status.h"
#include "tests/trainer/data/data_fixtures.h"
#include "trainer/data/file_bytes.h"
#include "trainer/data/temporary_folder.h"

namespace cddp {
namespace {

constexpr size_t kBlock = 512;
constexpr uint64_t kMaxBytes = 100'000;

// What POSIX and GNU tar call a member's type.
enum Type : char {
  kFile = '0',
  kHardLink = '1',
  kSymbolicLink = '2',
  kCharacterDevice = '3',
  kBlockDevice = '4',
  kFolder = '5',
  kPipe = '6',
  kSparse = 'S',
  kLongName = 'L',
  kLongLink = 'K',
  kPax = 'x',
  kPaxForAll = 'g',
};

struct Member {
  Type type = kFile;
  std::string name;
  std::string content = "evil";
  std::string link = "";
  std::string prefix = "";
  std::string size = "";  // the field, if not what content has
  std::string mode = "0000644";
  std::string real_size = "";  // of a sparse file
};

void Append(Bytes& tar, const Member& member) {
  const bool has_content = member.type != kHardLink && member.type != kSymbolicLink &&
                           member.type != kFolder && member.type != kPipe &&
                           member.type != kCharacterDevice && member.type != kBlockDevice;
  const std::string content = has_content ? member.content : "";
  Bytes header(kBlock, 0);
  const auto put = [&](size_t offset, const std::string& text) {
    std::memcpy(header.data() + offset, text.data(), text.size());
  };
  put(0, member.name.substr(0, 100));
  put(100, member.mode);
  put(108, "0000000");
  put(116, "0000000");
  put(124, member.size.empty() ? fmt::format("{:011o}", content.size()) : member.size);
  put(136, "00000000000");
  put(148, "        ");
  header[156] = static_cast<uint8_t>(member.type);
  put(157, member.link.substr(0, 100));
  if (member.type == kSparse) {
    put(257, "ustar  ");
    // One piece, at the end of the file.
    put(386, member.real_size);
    put(398, "00000000000");
    put(483, member.real_size);
  } else {
    put(257, "ustar");
    put(263, "00");
    put(345, member.prefix);
  }
  uint32_t sum = 0;
  for (const uint8_t byte : header) sum += byte;
  put(148, fmt::format("{:06o}", sum));
  header[154] = 0;
  tar.insert(tar.end(), header.begin(), header.end());
  tar.insert(tar.end(), content.begin(), content.end());
  tar.resize((tar.size() + kBlock - 1) / kBlock * kBlock);
}

Bytes Tar(const std::vector<Member>& members) {
  Bytes tar;
  for (const Member& member : members) Append(tar, member);
  tar.resize(tar.size() + 2 * kBlock);
  return tar;
}

// "LENGTH KEY=VALUE\n", where LENGTH counts itself.
std::string PaxRecord(const std::string& key, const std::string& value) {
  const size_t rest = key.size() + value.size() + 3;
  size_t length = rest + 1;
  while (std::to_string(length).size() + rest != length) ++length;
  return fmt::format("{} {}={}\n", length, key, value);
}

// A folder to unpack into, and one beside it that must stay as it is.
class TarArchiveTest : public testing::Test {
 protected:
  TarArchiveTest() {
    fs::create_directory(root_);
    WriteRaw(secret_, Ramp(10));
  }

  // What there is but for the folder to unpack into: contents, modes and numbers of links.
  std::map<std::string, std::string> Outside() const {
    std::map<std::string, std::string> found;
    for (auto entry = fs::recursive_directory_iterator(folder_.path());
         entry != fs::recursive_directory_iterator(); ++entry) {
      if (entry->path() == root_) {
        entry.disable_recursion_pending();
        continue;
      }
      struct stat status {};
      EXPECT_EQ(lstat(entry->path().c_str(), &status), 0);
      std::string& value = found[entry->path().string()];
      value = fmt::format("{:o} {} ", status.st_mode, entry->is_directory() ? 0 : status.st_nlink);
      if (S_ISREG(status.st_mode)) {
        const Bytes bytes = ReadFileBytes(entry->path(), 1 << 20);
        value.append(bytes.begin(), bytes.end());
      }
    }
    return found;
  }

  TemporaryFolder folder_;
  const fs::path root_ = folder_.path() / "root";
  const fs::path outside_ = folder_.path() / "outside";
  const fs::path secret_ = outside_ / "secret";
};

TEST_F(TarArchiveTest, FilesAndFoldersComeOut) {
  UnpackTarGz(Gzip(Tar({{kFolder, "a/"}, {kFile, "a/b", "one"}, {kFile, "c", "two"}})), root_);
  EXPECT_EQ(ReadFileBytes(root_ / "a" / "b", 3), (Bytes{'o', 'n', 'e'}));
  EXPECT_EQ(ReadFileBytes(root_ / "c", 3), (Bytes{'t', 'w', 'o'}));
}

TEST_F(TarArchiveTest, BoundsHold) {
  const Bytes archive = Gzip(Tar({{kFile, "a", std::string(2000, 'x')}, {kFile, "b", "1234"}}));
  UnpackTarGz(archive, root_, 2004);
  ExpectRefusal([&] { UnpackTarGz(archive, root_, 2003); }, StatusCode::kCorrupt,
                {"more than 2003 bytes"});

  std::vector<Member> members(kMaxArchiveEntries, {kFolder, "a/"});
  UnpackTarGz(Gzip(Tar(members)), root_);
  members.push_back({kFolder, "a/"});
  ExpectRefusal([&] { UnpackTarGz(Gzip(Tar(members)), root_); }, StatusCode::kCorrupt,
                {"more than 10000 files and folders"});

  std::string deep = "x";
  while (deep.size() < 2 * kMaxArchiveDepth - 1) deep += "/x";
  UnpackTarGz(Gzip(Tar({{kFile, deep}})), root_);
  ExpectRefusal(
      [&] {
        UnpackTarGz(Gzip(Tar({{kFile, deep + "/x"}})), root_);
      },
      StatusCode::kCorrupt, {"more than 16 folders in each other"});
}

TEST_F(TarArchiveTest, LinksAndDevicesAreNamed) {
  for (const Type type : {kSymbolicLink, kPipe}) {
    const fs::path into = root_ / std::string(1, type);
    fs::create_directory(into);
    ExpectRefusal(
        [&] {
          UnpackTarGz(Gzip(Tar({{type, "a/odd", "", "b"}})), into);
        },
        StatusCode::kCorrupt, {"a/odd", "neither a file nor a folder"});
  }
}

// Nothing outside of the folder changes, and what is there afterwards without an error is inside.
TEST_F(TarArchiveTest, HostileOnesStayInside) {
  const std::string up = "../outside/evil";
  const std::string absolute = (outside_ / "evil").string();
  const std::string secret_up = "../outside/secret";
  const std::string secret = secret_.string();
  const std::string deep(200, 'd');
  const Member a_folder{kFolder, "a/"};

  std::map<std::string, Bytes> archives = {
      {"dots", Tar({{kFile, up}})},
      {"dots after a folder", Tar({a_folder, {kFile, "a/../" + up}})},
      {"dots after a point", Tar({{kFile, "./" + up}})},
      {"dots in the prefix", Tar({{.name = "evil", .prefix = "../outside"}})},
      {"dots in a GNU name", Tar({{kLongName, "././@LongLink", up}, {kFile, "short"}})},
      {"dots in a pax name", Tar({{kPax, "pax", PaxRecord("path", up)}, {kFile, "short"}})},
      {"dots in a pax name for all",
       Tar({{kPaxForAll, "pax", PaxRecord("path", up)}, {kFile, "short"}})},
      {"dots and a long way", Tar({{kLongName, "././@LongLink", deep + "/../" + up}, {}})},
      {"only dots", Tar({{kFile, ".."}})},
      {"folder with dots", Tar({{kFolder, "../outside/evil/"}})},
      {"mode of a folder above",
       Tar({{.type = kFolder, .name = "../outside/", .mode = "0000777"}})},
      {"absolute", Tar({{kFile, absolute}})},
      {"absolute twice", Tar({{kFile, "/" + absolute}})},
      {"absolute in a pax name",
       Tar({{kPax, "pax", PaxRecord("path", absolute)}, {kFile, "short"}})},
      {"absolute secret", Tar({{kFile, secret}})},
      {"absolute folder", Tar({{kFolder, absolute + "/"}})},
      {"nameless", Tar({{kFile, ""}})},
      {"link to a file", Tar({{kSymbolicLink, "l", "", secret}})},
      {"file through a link", Tar({{kSymbolicLink, "l", "", "../outside"}, {kFile, "l/evil"}})},
      {"file through an absolute link",
       Tar({{kSymbolicLink, "l", "", outside_.string()}, {kFile, "l/evil"}})},
      {"file in a link's place", Tar({{kSymbolicLink, "l", "", secret_up}, {kFile, "l"}})},
      {"file through two links", Tar({{kSymbolicLink, "l", "", "m"},
                                      {kSymbolicLink, "m", "", "../outside"},
                                      {kFile, "l/evil"}})},
      {"file through a link and a folder",
       Tar({{kSymbolicLink, "l", "", "../outside"}, {kFolder, "l/"}, {kFile, "l/evil"}})},
      {"link in a folder's place",
       Tar({a_folder, {kSymbolicLink, "a", "", "../outside"}, {kFile, "a/evil"}})},
      {"link that goes round", Tar({{kSymbolicLink, "l", "", "l"}, {kFile, "l/evil"}})},
      {"long link", Tar({{kLongLink, "././@LongLink", "../outside"},
                         {kSymbolicLink, "l", "", "short"},
                         {kFile, "l/evil"}})},
      {"pax link", Tar({{kPax, "pax", PaxRecord("linkpath", outside_.string())},
                        {kSymbolicLink, "l", "", "short"},
                        {kFile, "l/evil"}})},
      {"hard link", Tar({{kHardLink, "h", "", secret_up}})},
      {"file over a hard link", Tar({{kHardLink, "h", "", secret_up}, {kFile, "h"}})},
      {"file over an absolute hard link", Tar({{kHardLink, "h", "", secret}, {kFile, "h"}})},
      {"hard link through a link",
       Tar({{kSymbolicLink, "l", "", "../outside"}, {kHardLink, "h", "", "l/secret"}})},
      {"hard link to a link",
       Tar({{kSymbolicLink, "l", "", secret_up}, {kHardLink, "h", "", "l"}, {kFile, "h"}})},
      {"pipe", Tar({{kPipe, "p"}})},
      {"character device", Tar({{kCharacterDevice, "d"}})},
      {"block device", Tar({{kBlockDevice, "d"}})},
      {"bomb", Tar({{kFile, "zeros", std::string(20'000'000, '\0')}})},
      {"bomb of many files", Tar(std::vector<Member>(1000, {kFile, "again", "x"}))},
      {"sparse bomb", Tar({{.type = kSparse, .name = "hole", .real_size = "77777777777"}})},
      {"size beyond the end", Tar({{.name = "a", .size = "77777777777"}})},
      {"negative size", Tar({{.name = "a", .size = std::string(12, '\xff')}})},
      {"file in a folder that cannot be read",
       Tar({{.type = kFolder, .name = "a/", .mode = "0000000"}, {kFile, "a/evil"}})},
      {"root's file for all", Tar({{.name = "s", .mode = "0006777"}})},
      {"compressed twice", Gzip(Tar({{kFile, "zeros", std::string(20'000'000, '\0')}}))},
      {"compressed twice, a link", Gzip(Tar({{kSymbolicLink, "l", "", secret}}))},
      {"noise", Ramp(5000)},
      {"nothing", {}},
  };
  Bytes wrong_sum = Tar({{kFile, "a"}});
  wrong_sum[148] ^= 1;
  archives["wrong checksum"] = wrong_sum;
  Bytes cut = Tar({{kFile, "a", std::string(3000, 'x')}});
  cut.resize(2000);
  archives["cut short"] = cut;

  const std::map<std::string, std::string> before = Outside();
  int refused = 0;
  for (const auto& [what, tar] : archives) {
    SCOPED_TRACE(what);
    fs::remove_all(root_);
    fs::create_directory(root_);
    bool accepted = true;
    try {
      UnpackTarGz(Gzip(tar), root_, kMaxBytes);
    } catch (const StatusError& error) {
      EXPECT_TRUE(error.code() == StatusCode::kCorrupt || error.code() == StatusCode::kUnavailable);
      accepted = false;
      ++refused;
    }
    EXPECT_EQ(Outside(), before);
    if (!accepted) continue;
    for (const fs::directory_entry& entry : fs::recursive_directory_iterator(root_)) {
      EXPECT_TRUE(fs::is_regular_file(entry.symlink_status()) ||
                  fs::is_directory(entry.symlink_status()))
          << entry.path();
      EXPECT_EQ(entry.symlink_status().permissions() & (fs::perms::set_uid | fs::perms::set_gid),
                fs::perms::none)
          << entry.path();
    }
  }
  // What has only a strange mode, say, is harmless, and comes out.
  fmt::print("{} hostile archives, {} refused\n", archives.size(), refused);
  EXPECT_GE(archives.size(), 40u);
  EXPECT_GE(refused, 30);
}

}  // namespace
}  // namespace cddp

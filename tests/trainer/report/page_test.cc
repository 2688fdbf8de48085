#include "trainer/report/page.h"

#include <gtest/gtest.h>

namespace cddp {
namespace {

using Json = nlohmann::json;

// What the page's script finds in the element of the data.
std::string Embedded(const std::string& page) {
  const std::string open = "<script type=\"application/json\" id=\"data\">";
  const size_t begin = page.find(open) + open.size();
  return page.substr(begin, page.find("</script>", begin) - begin);
}

TEST(ReportPage, CarriesTheDataWhole) {
  const Json data = {{"title", "a \"quoted\" </script><b>name</b> <!-- \\ \n ü"}, {"runs", {1, 2}}};
  const std::string embedded = Embedded(ReportPage(data));
  EXPECT_EQ(Json::parse(embedded), data);
  EXPECT_EQ(embedded.find('<'), std::string::npos);
}

TEST(ReportPage, SurvivesBytesThatAreNotUtf8) {
  const std::string embedded = Embedded(ReportPage({{"title", "run \xff\xc3"}}));
  EXPECT_EQ(Json::parse(embedded)["title"], "run \uFFFD\uFFFD");
}

TEST(ReportPage, NeedsNothingFromOutside) {
  const std::string page = ReportPage({{"title", "x"}});
  EXPECT_NE(page.find("default-src 'none'"), std::string::npos);
  for (const char* reference : {" src=", " href=", "@import", "url(", "fetch(", "XMLHttpRequest"}) {
    EXPECT_EQ(page.find(reference), std::string::npos) << reference;
  }
  EXPECT_EQ(page.find("@UPLOT"), std::string::npos);
  EXPECT_EQ(page.find("@REPORT"), std::string::npos);
  EXPECT_NE(page.find("The MIT License"), std::string::npos);
  EXPECT_TRUE(page.starts_with("<!doctype html>"));
  EXPECT_TRUE(page.ends_with("</html>\n"));
}

}  // namespace
}  // namespace cddp

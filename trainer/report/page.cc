#include "trainer/report/page.h"

namespace cddp {

std::string ReportPage(const nlohmann::json& data) {
  const std::string json =
      data.dump(-1, ' ', /*ensure_ascii=*/true, nlohmann::json::error_handler_t::replace);
  std::string page = kPageBeforeData;
  for (const char c : json) {
    // In JSON it stands only inside of texts. "</script>" and "<!--" would end the element.
    if (c == '<') {
      page += "\\u003c";
    } else {
      page += c;
    }
  }
  return page + kPageAfterData;
}

}  // namespace cddp

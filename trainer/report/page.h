// The page of a report: one HTML file that needs nothing else, no network either.
//
// Its sources lie in page/ and third_party/uplot; embed_page.cmake joins them when the
// program is built.
//
// Any thread.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

namespace cddp {

// `data` as ReportData makes it. Whatever it holds stays data: no text in it can end its
// element or become markup. Bytes that are not UTF-8 become U+FFFD.
std::string ReportPage(const nlohmann::json& data);

// The two halves of the page, as embedded; the data goes between them.
extern const char* const kPageBeforeData;
extern const char* const kPageAfterData;

}  // namespace cddp

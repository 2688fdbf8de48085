// That docs/json.md names every key of a report.
#pragma once

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>

#include "tests/program/child.h"

namespace cddp {

inline void ExpectDocumented(const nlohmann::json& report) {
  static const std::string page = ReadText(std::string(CDDP_SOURCE) + "/docs/json.md");
  ASSERT_FALSE(page.empty());
  if (report.is_array() && !report.empty()) ExpectDocumented(report[0]);
  if (!report.is_object()) return;
  for (const auto& [key, value] : report.items()) {
    EXPECT_NE(page.find('`' + key + '`'), std::string::npos) << "docs/json.md says nothing of "
                                                             << key;
    ExpectDocumented(value);
  }
}

}  // namespace cddp

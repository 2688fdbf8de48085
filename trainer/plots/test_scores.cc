#include "trainer/plots/test_scores.h"

#include <fmt/format.h>

#include "cddp/status.h"
#include "trainer/json_file.h"
#include "trainer/test_result.h"

namespace cddp {
namespace {

constexpr int64_t kMostSamples = 1'000'000'000'000'000;
constexpr double kRounding = 1e-6;  // of means of probabilities that are all 1

[[noreturn]] void Corrupt(const std::string& where, const std::string& why) {
  throw StatusError(StatusCode::kCorrupt, fmt::format("{}: {}", where, why));
}

int64_t Count(const nlohmann::json& row, const char* key, const std::string& where) {
  return Whole(row, key, 0, kMostSamples, where);
}

double Fraction(const nlohmann::json& row, const char* key, const std::string& where) {
  return NumberWithin(row, key, 0, 1 + kRounding, where);
}

std::optional<double> FractionIfAny(const nlohmann::json& row, const char* key,
                                    const std::string& where) {
  if (NumberOrNull(row, key, where).is_null()) return std::nullopt;
  return Fraction(row, key, where);
}

ClassScore ParseClass(const nlohmann::json& row, const std::string& where) {
  return {.precision_fraction = Fraction(row, "precision_fraction", where),
          .recall_fraction = Fraction(row, "recall_fraction", where),
          .f1_fraction = Fraction(row, "f1_fraction", where),
          .support = Count(row, "support", where)};
}

CalibrationBin ParseBin(const nlohmann::json& row, const std::string& where) {
  return {.confidence_low = Fraction(row, "confidence_low", where),
          .confidence_high = Fraction(row, "confidence_high", where),
          .samples = Count(row, "samples", where),
          .accuracy_fraction = FractionIfAny(row, "accuracy_fraction", where),
          .confidence_fraction = FractionIfAny(row, "confidence_fraction", where)};
}

}  // namespace

std::optional<TestScores> ReadTestScores(const std::filesystem::path& path) {
  const std::string file = path.string();
  const nlohmann::json json = ReadTestResult(path);
  if (!json.contains("class_names")) return std::nullopt;
  TestScores scores;
  scores.class_names = json.at("class_names").get<std::vector<std::string>>();
  ClassificationReport& report = scores.report;
  report.samples = Count(json, "samples", file);
  report.accuracy_percent = Number(json, "accuracy_percent", file);
  report.expected_calibration_error_fraction =
      Fraction(json, "expected_calibration_error_fraction", file);
  for (const nlohmann::json& row : json.at("confusion_matrix")) {
    report.confusion_matrix.push_back(row.get<std::vector<int64_t>>());
    for (int64_t count : report.confusion_matrix.back()) {
      if (count < 0) Corrupt(file, fmt::format("confusion_matrix holds {}, a count", count));
    }
  }
  for (const nlohmann::json& row : json.at("classes")) {
    report.classes.push_back(
        ParseClass(row, fmt::format("{}, class {}", file, report.classes.size() + 1)));
  }
  if (report.classes.empty() || report.classes.size() != scores.class_names.size()) {
    Corrupt(file, fmt::format("classes are to be as many as class_names, {}, got {}",
                              scores.class_names.size(), report.classes.size()));
  }
  for (const nlohmann::json& row : json.at("calibration")) {
    report.calibration.push_back(
        ParseBin(row, fmt::format("{}, bin {}", file, report.calibration.size() + 1)));
  }
  return scores;
}

}  // namespace cddp

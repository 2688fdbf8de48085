#include "trainer/test_result.h"

#include <fmt/format.h>

#include <string>
#include <vector>

#include "cddp/status.h"
#include "trainer/json_file.h"

namespace cddp {
namespace {

const std::vector<std::string> kScores = {"precision_fraction", "recall_fraction", "f1_fraction",
                                          "support"};

// The rows of the array `key`, each with only what it is to have.
nlohmann::json Rows(const nlohmann::json& json, const std::string& key,
                    const std::vector<std::string>& texts, const std::vector<std::string>& numbers,
                    const std::string& file) {
  nlohmann::json rows = nlohmann::json::array();
  for (const nlohmann::json& row : Array(json, key, file)) {
    const std::string where = fmt::format("{}, {} {}", file, key, rows.size() + 1);
    nlohmann::json kept;
    for (const std::string& name : texts) kept[name] = Text(row, name, where);
    for (const std::string& name : numbers) kept[name] = NumberOrNull(row, name, where);
    rows.push_back(kept);
  }
  return rows;
}

nlohmann::json Confusions(const nlohmann::json& json, size_t classes, const std::string& file) {
  const nlohmann::json& matrix = Array(json, "confusion_matrix", file);
  const auto corrupt = [&](const std::string& got) {
    return StatusError(StatusCode::kCorrupt,
                       fmt::format("{}: confusion_matrix is to have {} rows of as many counts, "
                                   "one for each of class_names, got {}",
                                   file, classes, got));
  };
  if (matrix.size() != classes) throw corrupt(fmt::format("{} rows", matrix.size()));
  for (const nlohmann::json& row : matrix) {
    if (!row.is_array() || row.size() != classes) {
      throw corrupt(fmt::format("a row of {}", row.is_array() ? row.size() : 0));
    }
    for (const nlohmann::json& count : row) {
      if (!count.is_number_integer()) throw corrupt(fmt::format("\"{}\"", count.type_name()));
    }
  }
  return matrix;
}

}  // namespace

nlohmann::json ReadTestResult(const std::filesystem::path& path) {
  const std::string file = path.string();
  const nlohmann::json json = ReadJsonFile(path);
  nlohmann::json result;
  for (const char* key : {"samples", "accuracy_percent", "loss", "epoch"}) {
    result[key] = NumberOrNull(json, key, file);
  }
  if (json.contains("test_bits_per_byte")) {
    result["test_bits_per_byte"] = NumberOrNull(json, "test_bits_per_byte", file);
  }
  if (!json.contains("class_names")) return result;

  nlohmann::json names = nlohmann::json::array();
  for (const nlohmann::json& name : Array(json, "class_names", file)) {
    names.push_back(name.is_string() ? name.get<std::string>() : name.dump());
  }
  result["class_names"] = names;
  result["confusion_matrix"] = Confusions(json, names.size(), file);
  result["classes"] = Rows(json, "classes", {"name"}, kScores, file);
  for (const char* average : {"macro_average", "weighted_average"}) {
    RequireKeys(json, {average}, file);
    for (const std::string& key : kScores) {
      result[average][key] = NumberOrNull(json[average], key, fmt::format("{}, {}", file, average));
    }
  }
  result["top_confusions"] =
      Rows(json, "top_confusions", {"true", "predicted"}, {"count", "fraction"}, file);
  result["expected_calibration_error_fraction"] =
      NumberOrNull(json, "expected_calibration_error_fraction", file);
  result["calibration"] = Rows(
      json, "calibration", {},
      {"confidence_low", "confidence_high", "samples", "accuracy_fraction", "confidence_fraction"},
      file);
  result["worst"] =
      Rows(json, "worst", {"true", "predicted"}, {"index", "probability", "loss"}, file);
  return result;
}

}  // namespace cddp

#include "trainer/json_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "cddp/status.h"
#include "trainer/data/file_bytes.h"

namespace cddp {
namespace {

constexpr uint64_t kMostJsonBytes = 1 << 28;

[[noreturn]] void Corrupt(const std::string& where, const std::string& why) {
  throw StatusError(StatusCode::kCorrupt, fmt::format("{}: {}", where, why));
}

const nlohmann::json& At(const nlohmann::json& json, const std::string& key,
                         const std::string& where) {
  RequireKeys(json, {key}, where);
  return json.at(key);
}

[[noreturn]] void WrongType(const nlohmann::json& value, const std::string& key,
                            const char* expected, const std::string& where) {
  Corrupt(where, fmt::format("{} is to be {}, got {}", key, expected, value.type_name()));
}

}  // namespace

nlohmann::json ParseJson(std::string_view text, const std::string& source, size_t line) {
  try {
    return nlohmann::json::parse(text);
  } catch (const nlohmann::json::parse_error& error) {
    // `byte` counts from 1 and is one more than the size where the text ends too early.
    const std::string_view before = text.substr(0, std::min(error.byte, text.size() + 1) - 1);
    const size_t line_start = before.rfind('\n') + 1;  // 0 when there is no line end
    line += static_cast<size_t>(std::ranges::count(before, '\n'));
    // Of the library's sentence, what follows its own place.
    const std::string sentence = error.what();
    const size_t colon = sentence.find(": ");
    const std::string why = colon == std::string::npos ? sentence : sentence.substr(colon + 2);
    Corrupt(source, fmt::format("JSON expected, but at line {}, column {}: {}", line,
                                before.size() - line_start + 1, why));
  } catch (const nlohmann::json::exception& error) {  // a number beyond any double
    Corrupt(source, error.what());
  }
}

nlohmann::json ReadJsonFile(const std::filesystem::path& path) {
  const std::vector<uint8_t> bytes = ReadFileBytes(path, kMostJsonBytes);
  return ParseJson({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, path.string());
}

void RequireKeys(const nlohmann::json& json, const std::vector<std::string>& keys,
                 const std::string& where) {
  if (!json.is_object()) {
    Corrupt(where, fmt::format("an object is expected, got {}", json.type_name()));
  }
  std::vector<std::string> missing;
  for (const std::string& key : keys) {
    if (!json.contains(key)) missing.push_back(key);
  }
  if (missing.empty()) return;
  Corrupt(where,
          fmt::format("{} missing: is this the file that was meant, and of this version of cddp?",
                      fmt::join(missing, ", ")));
}

const nlohmann::json& NumberOrNull(const nlohmann::json& json, const std::string& key,
                                   const std::string& where) {
  const nlohmann::json& value = At(json, key, where);
  if (!value.is_number() && !value.is_null()) WrongType(value, key, "a number or null", where);
  return value;
}

double NumberOrNan(const nlohmann::json& json, const std::string& key, const std::string& where) {
  const nlohmann::json& value = NumberOrNull(json, key, where);
  return value.is_null() ? std::numeric_limits<double>::quiet_NaN() : value.get<double>();
}

nlohmann::json OrNull(const std::optional<double>& value) {
  return value ? nlohmann::json(*value) : nlohmann::json();
}

double Number(const nlohmann::json& json, const std::string& key, const std::string& where) {
  const nlohmann::json& value = At(json, key, where);
  if (!value.is_number()) WrongType(value, key, "a number", where);
  return value.get<double>();
}

double NumberFrom(const nlohmann::json& json, const std::string& key, double low,
                  const std::string& where) {
  const double number = Number(json, key, where);
  if (number >= low) return number;
  Corrupt(where, fmt::format("{} is to be at least {}, got {}", key, low, number));
}

double NumberAbove(const nlohmann::json& json, const std::string& key, double low,
                   const std::string& where) {
  const double number = Number(json, key, where);
  if (number > low) return number;
  Corrupt(where, fmt::format("{} is to be above {}, got {}", key, low, number));
}

double NumberWithin(const nlohmann::json& json, const std::string& key, double low, double high,
                    const std::string& where) {
  const double number = Number(json, key, where);
  if (number >= low && number <= high) return number;
  Corrupt(where, fmt::format("{} is to be from {} to {}, got {}", key, low, high, number));
}

int64_t Whole(const nlohmann::json& json, const std::string& key, int64_t low, int64_t high,
              const std::string& where) {
  const double number = Number(json, key, where);
  if (!json.at(key).is_number_integer() || !(number >= static_cast<double>(low)) ||
      !(number <= static_cast<double>(high))) {
    Corrupt(where, fmt::format("{} is to be a whole number from {} to {}, got {}", key, low, high,
                               json.at(key).dump()));
  }
  return json.at(key).get<int64_t>();
}

std::string Text(const nlohmann::json& json, const std::string& key, const std::string& where) {
  const nlohmann::json& value = At(json, key, where);
  if (!value.is_string()) WrongType(value, key, "text", where);
  return value.get<std::string>();
}

const nlohmann::json& Array(const nlohmann::json& json, const std::string& key,
                            const std::string& where) {
  const nlohmann::json& value = At(json, key, where);
  if (!value.is_array()) WrongType(value, key, "an array", where);
  return value;
}

}  // namespace cddp

// JSON of a run's files, and what is said when it is not as it should be.
//
// Any thread.
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace cddp {

// Throws StatusError(kCorrupt) naming `source`, line, column and what stood in the way. `line`
// is the number of the text's first line.
nlohmann::json ParseJson(std::string_view text, const std::string& source, size_t line = 1);

// Throws StatusError: kUnavailable when the file can't be read, kCorrupt as above.
nlohmann::json ReadJsonFile(const std::filesystem::path& path);

// Throws StatusError(kCorrupt) when `json` is no object, or naming every key that it lacks.
// `where` is the file and the place in it.
void RequireKeys(const nlohmann::json& json, const std::vector<std::string>& keys,
                 const std::string& where);

// `json[key]`, a number or null. Throws StatusError(kCorrupt) when it is missing or something
// else.
const nlohmann::json& NumberOrNull(const nlohmann::json& json, const std::string& key,
                                   const std::string& where);

// The same as a number: NaN for null, which JSON has for what is not finite.
double NumberOrNan(const nlohmann::json& json, const std::string& key, const std::string& where);

// For reports: null for what there is not.
nlohmann::json OrNull(const std::optional<double>& value);

// `json[key]`, a number. Throws StatusError(kCorrupt).
double Number(const nlohmann::json& json, const std::string& key, const std::string& where);

// `json[key]`, a number of at least `low`, or above it. Throws StatusError(kCorrupt).
double NumberFrom(const nlohmann::json& json, const std::string& key, double low,
                  const std::string& where);
double NumberAbove(const nlohmann::json& json, const std::string& key, double low,
                   const std::string& where);

// `json[key]`, a number from `low` to `high`. Throws StatusError(kCorrupt).
double NumberWithin(const nlohmann::json& json, const std::string& key, double low, double high,
                    const std::string& where);

// `json[key]`, a whole number from `low` to `high`. Throws StatusError(kCorrupt).
int64_t Whole(const nlohmann::json& json, const std::string& key, int64_t low, int64_t high,
              const std::string& where);

// `json[key]` as text. Throws StatusError(kCorrupt).
std::string Text(const nlohmann::json& json, const std::string& key, const std::string& where);

// `json[key]`, an array. Throws StatusError(kCorrupt).
const nlohmann::json& Array(const nlohmann::json& json, const std::string& key,
                            const std::string& where);

}  // namespace cddp

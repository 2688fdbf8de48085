#include "trainer/config_file.h"

#include <fmt/format.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <map>
#include <sstream>
#include <string_view>

#include "cddp/status.h"
#include "trainer/data/file_bytes.h"
#include "trainer/nearest_name.h"

namespace cddp {
namespace {

constexpr uint64_t kMaxConfigBytes = 1 << 20;

// Only notes where the last document begins.
class DocumentStart final : public YAML::EventHandler {
 public:
  void OnDocumentStart(const YAML::Mark& mark) override { mark_ = mark; }
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark&, YAML::anchor_t) override {}
  void OnAlias(const YAML::Mark&, YAML::anchor_t) override {}
  void OnScalar(const YAML::Mark&, const std::string&, YAML::anchor_t,
                const std::string&) override {}
  void OnSequenceStart(const YAML::Mark&, const std::string&, YAML::anchor_t,
                       YAML::EmitterStyle::value) override {}
  void OnSequenceEnd() override {}
  void OnMapStart(const YAML::Mark&, const std::string&, YAML::anchor_t,
                  YAML::EmitterStyle::value) override {}
  void OnMapEnd() override {}

  const YAML::Mark& mark() const { return mark_; }

 private:
  YAML::Mark mark_;
};

// A text in YAML and where it came from, for messages.
struct Source {
  std::string name;  // a file, or the argument of --set
  bool is_file;

  [[noreturn]] void Refuse(const YAML::Mark& mark, const std::string& message) const {
    const std::string place =
        is_file && !mark.is_null() ? fmt::format(":{}:{}", mark.line + 1, mark.column + 1) : "";
    throw StatusError(StatusCode::kInvalidArgument, fmt::format("{}{}: {}", name, place, message));
  }

  YAML::Node Parse(const std::string& text) const {
    try {
      // Not LoadAll: of what belongs to no document, such as a comma in the beginning, it makes
      // empty ones without end.
      std::istringstream stream(text);
      YAML::Parser parser(stream);
      DocumentStart start;
      const bool has_second = parser.HandleNextDocument(start) && parser.HandleNextDocument(start);
      if (has_second)
        Refuse(start.mark(), "a second document, or text that belongs to none; only one is read");
      return YAML::Load(text);
    } catch (const YAML::Exception& error) {
      Refuse(error.mark, fmt::format("no YAML: {}", error.msg));
    }
  }
};

std::string WithDashes(std::string key) {
  std::ranges::replace(key, '_', '-');
  return key;
}

bool IsSwitch(const CLI::Option& option) { return option.get_items_expected_max() == 0; }

std::string Expected(const CLI::Option& option) {
  if (IsSwitch(option)) return "true or false";
  const std::string type = option.get_type_name();
  const std::string_view name = std::string_view(type).substr(0, type.find(':'));
  std::string one = "text";
  if (name == "INT") one = "a whole number";
  if (name == "UINT") one = "a whole number, not negative";
  if (name == "FLOAT") one = "a number";
  return option.get_items_expected_max() > 1 ? one + ", or a list of such" : one;
}

// The scalar as the command line would have it.
std::string Word(const YAML::Node& value, const CLI::Option& option) {
  std::string word = value.Scalar();
  std::string lower = word;
  std::ranges::transform(lower, lower.begin(), [](unsigned char c) { return std::tolower(c); });
  if (lower == ".inf") return "inf";
  if (!IsSwitch(option)) return word;
  if (lower == "true" || lower == "yes" || lower == "on") return "true";
  if (lower == "false" || lower == "no" || lower == "off") return "false";
  return "";
}

// The words that stand for `value`; none when the option does not take it.
std::vector<std::string> Words(const YAML::Node& value, const CLI::Option& option) {
  std::vector<std::string> words;
  if (value.IsScalar()) {
    words.push_back(Word(value, option));
  } else if (value.IsSequence() && option.get_items_expected_max() > 1) {
    for (const YAML::Node& item : value) {
      if (!item.IsScalar()) return {};
      words.push_back(Word(item, option));
    }
    if (words.empty()) words.push_back("{}");  // as CLI11 writes an empty list
  }
  if (IsSwitch(option) && words == std::vector<std::string>{""}) return {};
  return words;
}

std::string Shown(const YAML::Node& value) {
  if (value.IsScalar()) return fmt::format("\"{}\"", value.Scalar());
  if (value.IsSequence()) return "a list";
  return value.IsMap() ? "a section" : "nothing";
}

void Set(const Source& source, const std::string& key, const YAML::Node& value,
         CLI::Option* option) {
  const auto refuse = [&] {
    source.Refuse(value.Mark(),
                  fmt::format("{} must be {}, got {}", key, Expected(*option), Shown(value)));
  };
  const std::vector<std::string> words = Words(value, *option);
  if (words.empty()) refuse();
  // What the command line gave is parsed anew afterwards.
  option->clear();
  try {
    for (const std::string& word : words) option->add_result(word);
    option->run_callback();
  } catch (const CLI::ValidationError& error) {
    source.Refuse(value.Mark(), error.what());
  } catch (const CLI::ParseError&) {
    refuse();
  }
  option->clear();
}

void Apply(const Source& source, const YAML::Node& root, CLI::App* app,
           const std::vector<std::string>& elsewhere, std::vector<std::string>* skipped) {
  if (root.IsNull()) return;
  if (!root.IsMap()) source.Refuse(root.Mark(), "expected lines like \"model: resnet18\"");
  const std::vector<std::string> known = ConfigKeys(*app);
  std::map<std::string, YAML::Mark> seen;
  for (const auto& item : root) {
    const YAML::Mark mark = item.first.Mark();
    if (!item.first.IsScalar()) source.Refuse(mark, "a key must be the name of a flag");
    const std::string written = item.first.Scalar();
    const std::string key = WithDashes(written);
    if (const auto [first, is_new] = seen.emplace(key, mark); !is_new) {
      source.Refuse(mark, fmt::format("{} is there twice, in line {} for the first time", written,
                                      first->second.line + 1));
    }
    if (std::ranges::find(known, key) != known.end()) {
      Set(source, written, item.second, app->get_option("--" + key));
    } else if (std::ranges::find(elsewhere, key) != elsewhere.end()) {
      skipped->push_back(
          fmt::format("{}: {} is of no use to {}: skipped", source.name, written, app->get_name()));
    } else {
      const std::string nearest = NearestName(key, known);
      source.Refuse(mark,
                    fmt::format("unknown key {}{}", written,
                                nearest.empty() ? "; keys are the names of the flags, see --help"
                                                : fmt::format("; did you mean {}?", nearest)));
    }
  }
}

}  // namespace

void AddConfigOptions(CLI::App* app, ConfigArguments* arguments) {
  app->add_option("--config", arguments->file,
                  "Read options from this YAML file, whose keys are the names of the flags; "
                  "flags go before it")
      ->configurable(false)
      ->group("Configuration");
  app->add_option("--set", arguments->settings,
                  "Set one option, KEY=VALUE, over the file's; may be repeated")
      ->allow_extra_args(false)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
      ->configurable(false)
      ->group("Configuration");
  app->add_flag("--print-config", arguments->print,
                "Print what the options come to, as such a file, and do nothing")
      ->configurable(false)
      ->group("Configuration");
}

std::vector<std::string> ConfigKeys(const CLI::App& app) {
  std::vector<std::string> keys;
  for (const CLI::Option* option : app.get_options()) {
    if (!option->get_configurable()) continue;
    for (const std::string& name : option->get_lnames()) keys.push_back(name);
  }
  return keys;
}

bool ApplyConfig(ConfigArguments* arguments, CLI::App* app,
                 const std::vector<std::string>& elsewhere) {
  // They are read again before they are used.
  const ConfigArguments given = *arguments;
  if (!given.file.empty()) {
    const Source source{given.file, /*is_file=*/true};
    const std::vector<uint8_t> bytes = ReadFileBytes(given.file, kMaxConfigBytes);
    Apply(source, source.Parse({bytes.begin(), bytes.end()}), app, elsewhere, &arguments->skipped);
  }
  for (const std::string& setting : given.settings) {
    const Source source{"--set " + setting, /*is_file=*/false};
    const size_t equals = setting.find('=');
    if (equals == 0 || equals == std::string::npos) source.Refuse({}, "expected KEY=VALUE");
    YAML::Node root;
    root[setting.substr(0, equals)] = source.Parse(setting.substr(equals + 1));
    Apply(source, root, app, elsewhere, &arguments->skipped);
  }
  return !given.file.empty() || !given.settings.empty();
}

std::string ToYaml(const TrainOptions& options, const std::string& command,
                   const nlohmann::json& more) {
  nlohmann::json values = ToJson(options);
  values.update(more);
  const nlohmann::json defaults = ToJson(TrainOptions());
  YAML::Emitter yaml;
  yaml << YAML::BeginMap;
  for (const auto& [key, value] : values.items()) {
    const bool nothing = value == "" || value == 0 || value == nlohmann::json::array();
    if (nothing && (more.contains(key) || value == defaults[key])) continue;
    if (key == "rendezvous" && value != "env") continue;
    yaml << YAML::Key << key << YAML::Value;
    if (value.is_array()) {
      yaml << YAML::Flow << YAML::BeginSeq;
      for (const auto& item : value) yaml << item.dump();
      yaml << YAML::EndSeq;
    } else {
      yaml << (value.is_string() ? value.get<std::string>() : value.dump());
    }
  }
  yaml << YAML::EndMap;
  return fmt::format("# Repeats this run: cddp {} --config FILE\n{}\n", command, yaml.c_str());
}

}  // namespace cddp

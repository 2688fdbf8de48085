#include "trainer/architecture.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "trainer/failure.h"
#include "trainer/nearest_name.h"

namespace cddp {
namespace {

using Names = std::vector<std::string>;

// Whether `model` is among those that have the choice; refuses one that was `made`
// for another.
bool Has(const std::string& model, const char* flag, bool made, const Names& models) {
  const bool has = std::ranges::find(models, model) != models.end();
  if (made && !has) {
    Refuse(fmt::format("{} is of --model {}, the model is {}: leave it out", flag,
                       fmt::join(models, ", "), model));
  }
  return has;
}

struct Size {
  const char* flag;
  int64_t* value;
  int64_t standard;
  int64_t most;
};

}  // namespace

Names ModelNames() { return {"simple_cnn", "resnet8", "resnet18", "resnet50", "transformer"}; }

bool IsLanguageModel(const std::string& model) { return model == "transformer"; }

void ResolveArchitecture(const std::string& model, Architecture& a) {
  RequireName("model", model, ModelNames());
  if (Has(model, "--stem", !a.stem.empty(), {"resnet18", "resnet50"})) {
    if (a.stem.empty()) a.stem = "cifar";
    RequireName("stem", a.stem, {"cifar", "imagenet"});
  }
  Has(model, "--channels-last", a.channels_last, {"resnet8", "resnet18", "resnet50"});
  for (const Size& size : {Size{"--layers", &a.layers, 4, 1000},
                           {"--heads", &a.heads, 4, 1024},
                           {"--width", &a.width, 128, 65'536}}) {
    if (!Has(model, size.flag, *size.value != 0, {"transformer"})) continue;
    if (*size.value == 0) *size.value = size.standard;
    RequireRange(size.flag, *size.value, 1, size.most);
  }
  if (IsLanguageModel(model) && a.width % a.heads != 0) {
    Refuse(
        fmt::format("--width must be a multiple of --heads: {} is none of {}", a.width, a.heads));
  }
}

}  // namespace cddp

#include "trainer/data/text.h"

#include <fmt/format.h>
#include <utf8cpp/utf8.h>

#include <algorithm>
#include <utility>

#include "cddp/status.h"
#include "trainer/data/sample_random.h"
#include "trainer/data/sha256.h"
#include "trainer/nearest_name.h"

namespace cddp {
namespace {

using Tokens = std::vector<uint16_t>;

std::vector<uint32_t> CodePoints(std::span<const uint8_t> bytes, const std::string& origin) {
  std::vector<uint32_t> points;
  points.reserve(bytes.size());
  auto at = bytes.begin();
  while (at != bytes.end()) {
    try {
      points.push_back(utf8::next(at, bytes.end()));
    } catch (const utf8::exception&) {
      throw StatusError(StatusCode::kCorrupt,
                        fmt::format("{}: byte {} begins no UTF-8 character; read it with --tokens "
                                    "bytes",
                                    origin, at - bytes.begin()));
    }
  }
  return points;
}

TokenisedText Characters(std::span<const uint8_t> bytes, const std::string& origin) {
  const std::vector<uint32_t> points = CodePoints(bytes, origin);
  std::vector<uint32_t> number(0x110000);  // of each code point; first: whether it occurs
  for (const uint32_t point : points) number[point] = 1;
  uint32_t vocabulary = 0;
  for (uint32_t& entry : number) {
    if (entry != 0) entry = vocabulary++;
  }
  if (vocabulary > kMaxVocabulary) {
    throw StatusError(StatusCode::kCorrupt,
                      fmt::format("{}: {} different characters, at most {} can be told apart; read "
                                  "it with --tokens bytes",
                                  origin, vocabulary, kMaxVocabulary));
  }
  TokenisedText text;
  text.vocabulary = static_cast<int>(vocabulary);
  text.tokens.reserve(points.size());
  for (const uint32_t point : points) text.tokens.push_back(static_cast<uint16_t>(number[point]));
  return text;
}

// How many bytes the last `characters` of a UTF-8 text take.
size_t BytesOfLast(size_t characters, std::span<const uint8_t> bytes) {
  size_t begin = bytes.size();
  while (characters > 0) {
    const bool is_first_byte = (bytes[--begin] & 0xc0) != 0x80;
    characters -= is_first_byte;
  }
  return bytes.size() - begin;
}

class TextSamples : public Samples {
 public:
  TextSamples(std::shared_ptr<const Tokens> text, std::span<const uint16_t> part,
              const SampleFormat& format)
      : Samples(format, static_cast<uint32_t>((part.size() - 1) / format.context)),
        text_(std::move(text)),
        part_(part) {}

  void Make(std::span<const int64_t> numbers, uint64_t epoch, Batch* batch) const override {
    const size_t context = format().context;
    batch->samples = static_cast<uint32_t>(numbers.size());
    batch->tokens.resize(numbers.size() * context);
    batch->targets.resize(numbers.size() * context);
    for (size_t i = 0; i < numbers.size(); ++i) {
      const auto window =
          part_.subspan(Start(static_cast<uint64_t>(numbers[i]), epoch), context + 1);
      std::copy(window.begin(), window.end() - 1, batch->tokens.data() + i * context);
      std::copy(window.begin() + 1, window.end(), batch->targets.data() + i * context);
    }
  }

 protected:
  // The first token of a window.
  virtual size_t Start(uint64_t number, uint64_t /*epoch*/) const {
    return number * format().context;
  }
  size_t starts() const { return part_.size() - format().context; }

 private:
  const std::shared_ptr<const Tokens> text_;  // what part_ is of
  const std::span<const uint16_t> part_;
};

class RandomWindows final : public TextSamples {
 public:
  RandomWindows(std::shared_ptr<const Tokens> text, std::span<const uint16_t> part,
                const SampleFormat& format, uint64_t seed)
      : TextSamples(std::move(text), part, format), seed_(seed) {}

 protected:
  size_t Start(uint64_t number, uint64_t epoch) const override {
    return SampleRandom(seed_, epoch, number).Below(starts());
  }

 private:
  const uint64_t seed_;
};

}  // namespace

std::vector<std::string> TokenKinds() { return {"bytes", "chars"}; }

TokenisedText Tokenise(std::span<const uint8_t> bytes, const std::string& kind,
                       const std::string& origin) {
  RequireName("kind of tokens", kind, TokenKinds());
  if (bytes.empty()) {
    throw StatusError(StatusCode::kInvalidArgument, fmt::format("{} is empty", origin));
  }
  if (kind == "chars") return Characters(bytes, origin);
  return {.tokens = Tokens(bytes.begin(), bytes.end()), .vocabulary = 256};
}

DatasetSplits MakeTextSamples(std::span<const uint8_t> bytes, const TextSampleOptions& options,
                              const std::string& origin) {
  TokenisedText text = Tokenise(bytes, options.tokens, origin);
  const auto tokens = std::make_shared<const Tokens>(std::move(text.tokens));
  const size_t validation = tokens->size() / 10;
  if (validation < size_t{options.context} + 1) {
    throw StatusError(
        StatusCode::kInvalidArgument,
        fmt::format("{}: its last tenth, which is for validation, has {} tokens; a window needs "
                    "{}: give a longer text or a smaller --context",
                    origin, validation, options.context + 1));
  }
  const size_t bytes_of_validation =
      options.tokens == "chars" ? BytesOfLast(validation, bytes) : validation;
  const SampleFormat format{
      .context = options.context,
      .bytes_per_token = static_cast<double>(bytes_of_validation) / static_cast<double>(validation),
      .classes = text.vocabulary};
  const std::span<const uint16_t> all(*tokens);
  return {.train = std::make_shared<const RandomWindows>(tokens, all.first(all.size() - validation),
                                                         format, options.seed),
          .test = std::make_shared<const TextSamples>(tokens, all.last(validation), format),
          .sha256 = Sha256Hex(bytes)};
}

}  // namespace cddp

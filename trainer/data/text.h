// A text as samples: windows of tokens, each with the tokens that follow.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "trainer/data/samples.h"

namespace cddp {

inline constexpr uint64_t kMaxTextBytes = uint64_t{1} << 30;  // of a file that is read
inline constexpr size_t kMaxVocabulary = 65536;               // different characters

// "bytes", "chars".
std::vector<std::string> TokenKinds();

struct TokenisedText {
  std::vector<uint16_t> tokens;  // each below `vocabulary`
  int vocabulary = 0;            // 256 of bytes; the different characters of the text else
};

// With `kind` "bytes" each byte is a token. With "chars" the bytes are UTF-8 and each
// code point is one, numbered in ascending order of the code points that occur. `origin`
// names the text in messages.
//
// Throws StatusError: kInvalidArgument for an empty text, kCorrupt for bytes that are no
// UTF-8 (with their place) and for more than kMaxVocabulary different characters.
TokenisedText Tokenise(std::span<const uint8_t> bytes, const std::string& kind,
                       const std::string& origin);

struct TextSampleOptions {
  std::string tokens = "bytes";
  uint32_t context = 128;  // tokens of a window, at least 1
  uint64_t seed = 1;
};

// The text in `bytes`, tokenised as above. The last tenth of its tokens is for validation,
// the rest for training. Of either an epoch has as many windows as follow each other in
// it: while training each starts anywhere, at even chance; in validation they are
// consecutive. `sha256` is the digest of the bytes. Throws besides
// StatusError(kInvalidArgument), naming `origin`, when a part is shorter than context + 1
// tokens.
DatasetSplits MakeTextSamples(std::span<const uint8_t> bytes, const TextSampleOptions& options,
                              const std::string& origin);

}  // namespace cddp

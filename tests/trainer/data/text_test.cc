#include "trainer/data/text.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "cddp/status.h"
#include "tests/trainer/data/data_fixtures.h"
#include "trainer/data/sha256.h"
#include "trainer/sampler.h"

namespace cddp {
namespace {

Bytes Utf8(const std::string& text) { return {text.begin(), text.end()}; }

// Each token of the first 200 is its own place.
Bytes Counting(size_t size) {
  Bytes bytes(size);
  for (size_t i = 0; i < size; ++i) bytes[i] = static_cast<uint8_t>(i);
  return bytes;
}

TEST(TextTest, BytesAreTokens) {
  const TokenisedText text = Tokenise(Bytes{0, 255, 7}, "bytes", "f");
  EXPECT_EQ(text.tokens, (std::vector<uint16_t>{0, 255, 7}));
  EXPECT_EQ(text.vocabulary, 256);
}

TEST(TextTest, CharactersAreNumberedInTheirOrder) {
  const TokenisedText text = Tokenise(Utf8("bäa\U0001F40B€a"), "chars", "f");
  EXPECT_EQ(text.tokens, (std::vector<uint16_t>{1, 2, 0, 4, 3, 0}));
  EXPECT_EQ(text.vocabulary, 5);
}

TEST(TextTest, BadTextsAreRefused) {
  const auto tokenise = [](const Bytes& bytes, const char* kind) {
    return [=] { Tokenise(bytes, kind, "novel.txt"); };
  };
  ExpectRefusal(tokenise({}, "bytes"), StatusCode::kInvalidArgument, {"novel.txt is empty"});
  ExpectRefusal(tokenise({}, "chars"), StatusCode::kInvalidArgument, {"novel.txt is empty"});
  ExpectRefusal(tokenise(Utf8("ab\xffz"), "chars"), StatusCode::kCorrupt,
                {"novel.txt: byte 2", "--tokens bytes"});
  ExpectRefusal(tokenise(Utf8("ab\xe2\x82"), "chars"), StatusCode::kCorrupt, {"novel.txt: byte 2"});
  ExpectRefusal(tokenise(Utf8("ab"), "words"), StatusCode::kInvalidArgument, {"words", "chars"});
  Bytes many;
  for (uint32_t point = 0x10000; point <= 0x20000; ++point) {  // each has four bytes
    many.push_back(static_cast<uint8_t>(0xf0 | point >> 18));
    for (const int shift : {12, 6, 0}) {
      many.push_back(static_cast<uint8_t>(0x80 | (point >> shift & 0x3f)));
    }
  }
  ExpectRefusal(tokenise(many, "chars"), StatusCode::kCorrupt,
                {"65537 different characters, at most 65536", "--tokens bytes"});
  EXPECT_EQ(Tokenise(std::span(many).first(many.size() - 4), "chars", "f").vocabulary, 65536);
}

TEST(TextTest, WindowsCarryTheNextTokensAndPartsDoNotMix) {
  constexpr uint32_t kContext = 8;
  const Bytes bytes = Counting(250);
  const DatasetSplits splits = MakeTextSamples(bytes, {.context = kContext, .seed = 3}, "f");
  EXPECT_EQ(splits.sha256, Sha256Hex(bytes));
  EXPECT_EQ(splits.train->format().context, kContext);
  EXPECT_EQ(splits.train->format().classes, 256);
  EXPECT_EQ(splits.train->format().targets_per_sample(), kContext);
  EXPECT_EQ(splits.train->count(), (225u - 1) / kContext);
  EXPECT_EQ(splits.test->count(), (25u - 1) / kContext);

  std::set<int64_t> starts;
  Batch batch;
  for (uint64_t epoch = 0; epoch < 200; ++epoch) {
    splits.train->Make(std::vector<int64_t>{5, 17}, epoch, &batch);
    ASSERT_EQ(batch.samples, 2u);
    ASSERT_EQ(batch.tokens.size(), 2 * kContext);
    ASSERT_EQ(batch.targets.size(), 2 * kContext);
    for (size_t i = 0; i < 2; ++i) {
      const int64_t start = batch.tokens[i * kContext];
      starts.insert(start);
      ASSERT_LE(start + kContext, 224) << "the last target is the last token of training";
      for (uint32_t t = 0; t < kContext; ++t) {
        ASSERT_EQ(batch.tokens[i * kContext + t], start + t);
        ASSERT_EQ(batch.targets[i * kContext + t], start + t + 1);
      }
    }
  }
  EXPECT_GT(starts.size(), 150u) << "of 217";
  EXPECT_LT(*starts.begin(), 10);
  EXPECT_GT(*starts.rbegin(), 206);

  splits.test->Make(std::vector<int64_t>{0, 2}, 0, &batch);
  EXPECT_EQ(batch.tokens.front(), 225);
  EXPECT_EQ(batch.tokens[kContext], 225 + 2 * kContext);
  EXPECT_EQ(batch.targets.back(), 225 + 3 * kContext);
}

// Bits per byte are of the part that is evaluated, which may be written in other letters.
TEST(TextTest, BytesOfATokenAreThoseOfTheValidationPart) {
  std::string text(90, 'a');
  for (int i = 0; i < 5; ++i) text += "bä";
  const TextSampleOptions chars{.tokens = "chars", .context = 4};
  EXPECT_EQ(MakeTextSamples(Utf8(text), chars, "f").test->format().bytes_per_token, 1.5);
  EXPECT_EQ(MakeTextSamples(Utf8(text), {.context = 4}, "f").test->format().bytes_per_token, 1.0);
}

TEST(TextTest, EveryStartIsReachedWithAnEvenChance) {
  const DatasetSplits splits = MakeTextSamples(Counting(110), {.context = 9, .seed = 3}, "f");
  ASSERT_EQ(splits.train->count(), 10u);
  std::vector<int> seen(90);
  Batch batch;
  constexpr uint64_t kEpochs = 2000;
  for (uint64_t epoch = 0; epoch < kEpochs; ++epoch) {
    splits.train->Make(std::vector<int64_t>{3}, epoch, &batch);
    ++seen[static_cast<size_t>(batch.tokens[0])];
  }
  double chi_squared = 0;
  for (const int count : seen) chi_squared += std::pow(count - kEpochs / 90.0, 2) * 90 / kEpochs;
  EXPECT_NEAR(chi_squared, 89, 5 * std::sqrt(2 * 89.0));
}

TEST(TextTest, WindowsAreTheSameWhateverTheWorkers) {
  const DatasetSplits splits = MakeTextSamples(Counting(5000), {.context = 16, .seed = 3}, "f");
  const auto epoch = [&](int world) {
    std::map<int64_t, std::vector<int64_t>> windows;
    Batch batch;
    for (int rank = 0; rank < world; ++rank) {
      DistributedSampler sampler(splits.train->count(), world, rank, 6, 1);
      for (uint32_t step = 0; step < sampler.steps_per_epoch(); ++step) {
        const auto numbers = sampler.Batch(step);
        splits.train->Make(numbers, 2, &batch);
        for (size_t i = 0; i < numbers.size(); ++i) {
          windows[numbers[i]] = {batch.tokens.begin() + static_cast<ptrdiff_t>(16 * i),
                                 batch.tokens.begin() + static_cast<ptrdiff_t>(16 * (i + 1))};
        }
      }
    }
    return windows;
  };
  const auto one = epoch(1);
  EXPECT_EQ(one.size(), splits.train->count());
  EXPECT_EQ(epoch(4), one);
}

TEST(TextTest, ATextShorterThanAWindowIsRefused) {
  ExpectRefusal([] { MakeTextSamples(Counting(80), {.context = 8}, "short.txt"); },
                StatusCode::kInvalidArgument,
                {"short.txt", "8 tokens", "a window needs 9", "--context"});
  EXPECT_EQ(MakeTextSamples(Counting(90), {.context = 8}, "f").test->count(), 1u);
}

}  // namespace
}  // namespace cddp

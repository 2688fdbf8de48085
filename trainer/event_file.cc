#include "trainer/event_file.h"

#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <bit>
#include <chrono>
#include <cstring>

namespace cddp {
namespace {

static_assert(std::endian::native == std::endian::little);

template <typename T>
void AppendFixed(T value, std::string* out) {
  char bytes[sizeof value];
  std::memcpy(bytes, &value, sizeof value);
  out->append(bytes, sizeof bytes);
}

void AppendVarint(uint64_t value, std::string* out) {
  for (; value >= 0x80; value >>= 7) out->push_back(static_cast<char>(value | 0x80));
  out->push_back(static_cast<char>(value));
}

// The wire types of protobuf.
enum WireType : uint32_t { kVarint = 0, kFixed64 = 1, kLength = 2, kFixed32 = 5 };

void AppendTag(uint32_t field, WireType type, std::string* out) {
  AppendVarint(field << 3 | type, out);
}

void AppendBytes(uint32_t field, std::string_view bytes, std::string* out) {
  AppendTag(field, kLength, out);
  AppendVarint(bytes.size(), out);
  out->append(bytes);
}

// message Event { double wall_time = 1; int64 step = 2;
//                 oneof what { string file_version = 3; Summary summary = 5; } }
std::string Event(double wall_time, int64_t step) {
  std::string event;
  AppendTag(1, kFixed64, &event);
  AppendFixed(wall_time, &event);
  AppendTag(2, kVarint, &event);
  AppendVarint(static_cast<uint64_t>(step), &event);
  return event;
}

// message Summary { message Value { string tag = 1; float simple_value = 2; }
//                   repeated Value value = 1; }
std::string Summary(std::span<const std::pair<std::string, float>> scalars) {
  std::string summary;
  for (const auto& [tag, number] : scalars) {
    std::string value;
    AppendBytes(1, tag, &value);
    AppendTag(2, kFixed32, &value);
    AppendFixed(number, &value);
    AppendBytes(1, value, &summary);
  }
  return summary;
}

double Now() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

std::filesystem::path NewName(const std::filesystem::path& folder) {
  char host[256] = "localhost";
  gethostname(host, sizeof host - 1);
  // TensorBoard reads a run's files in the order of their names.
  return folder / fmt::format("events.out.tfevents.{:010.0f}.{}.{}", Now(), host, getpid());
}

// A CRC of what contains CRCs says little.
uint32_t Masked(uint32_t crc) { return std::rotr(crc, 15) + 0xa282ead8u; }

constexpr std::array<uint32_t, 256> kCrcTable = [] {
  std::array<uint32_t, 256> table{};
  for (uint32_t byte = 0; byte < table.size(); ++byte) {
    uint32_t crc = byte;
    for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78u : 0);
    table[byte] = crc;
  }
  return table;
}();

}  // namespace

uint32_t Crc32c(std::string_view bytes) {
  uint32_t crc = ~0u;
  for (const char byte : bytes) {
    crc = crc >> 8 ^ kCrcTable[(crc ^ static_cast<uint8_t>(byte)) & 0xff];
  }
  return ~crc;
}

EventFile::EventFile(const std::filesystem::path& folder) : file_(NewName(folder)) {
  std::string event = Event(Now(), 0);
  AppendBytes(3, "brain.Event:2", &event);
  AppendRecord(event);
}

void EventFile::Append(double wall_time, int64_t step,
                       std::span<const std::pair<std::string, float>> scalars) {
  std::string event = Event(wall_time, step);
  AppendBytes(5, Summary(scalars), &event);
  AppendRecord(event);
}

void EventFile::AppendRecord(const std::string& event) {
  std::string record;
  AppendFixed(uint64_t{event.size()}, &record);
  AppendFixed(Masked(Crc32c(record)), &record);
  record += event;
  AppendFixed(Masked(Crc32c(event)), &record);
  file_.Append(record);
}

}  // namespace cddp

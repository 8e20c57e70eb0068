#include "ashlar/formats/tensorboard.h"

#include "ashlar/base/checksum.h"
#include "ashlar/base/error.h"
#include "ashlar/base/file.h"
#include "tests/base/messages.h"
#include "tests/base/temp_dir.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <map>
#include <optional>

namespace ashlar::formats {
namespace {

using ashlar::testing::TempDir;
using ::testing::MatchesRegex;
using ::testing::Pair;
using ::testing::UnorderedElementsAre;

// A reader of our own for protocol buffers: field number to values, numbers as raw bits.
struct Message {
  std::multimap<int, uint64_t> numbers;
  std::multimap<int, std::string> texts;

  explicit Message(std::string_view bytes) {
    const auto varint = [&] {
      uint64_t value = 0;
      for (int shift = 0;; shift += 7) {
        const auto byte = static_cast<unsigned char>(bytes.at(0));
        bytes.remove_prefix(1);
        value |= uint64_t{byte & 0x7fu} << shift;
        if (byte < 0x80) return value;
      }
    };
    const auto fixed = [&](size_t size) {
      uint64_t value = 0;
      std::memcpy(&value, bytes.substr(0, size).data(), size);
      bytes.remove_prefix(size);
      return value;
    };
    while (!bytes.empty()) {
      const uint64_t key = varint();
      const int field = static_cast<int>(key >> 3);
      switch (key & 7) {
        case 0:
          numbers.emplace(field, varint());
          break;
        case 1:
          numbers.emplace(field, fixed(8));
          break;
        case 5:
          numbers.emplace(field, fixed(4));
          break;
        case 2: {
          const uint64_t size = varint();
          texts.emplace(field, std::string(bytes.substr(0, size)));
          bytes.remove_prefix(size);
          break;
        }
        default:
          ADD_FAILURE() << "wire type " << (key & 7);
          return;
      }
    }
  }
  uint64_t number(int field) const {
    return numbers.contains(field) ? numbers.find(field)->second : 0;
  }
  std::string text(int field) const {
    return texts.contains(field) ? texts.find(field)->second : "";
  }
};

template <typename T>
T take(std::string_view& bytes) {
  T value;
  std::memcpy(&value, bytes.substr(0, sizeof(T)).data(), sizeof(T));
  bytes.remove_prefix(sizeof(T));
  return value;
}

uint32_t crc_of(std::string_view bytes, uint32_t masked) {
  const uint32_t rotated = masked - 0xa282ead8u;
  const uint32_t crc = (rotated >> 17) | (rotated << 15);
  EXPECT_EQ(crc, crc32c(std::as_bytes(std::span(bytes))));
  return crc;
}

std::vector<Message> read_events(const std::string& path) {
  const std::string content = read_file(path);
  std::string_view rest = content;
  std::vector<Message> events;
  while (!rest.empty()) {
    const std::string_view length_bytes = rest.substr(0, 8);
    const auto length = take<uint64_t>(rest);
    crc_of(length_bytes, take<uint32_t>(rest));
    const std::string_view event = rest.substr(0, length);
    rest.remove_prefix(length);
    crc_of(event, take<uint32_t>(rest));
    events.emplace_back(event);
  }
  return events;
}

std::map<std::string, float> scalars_of(const Message& event) {
  std::map<std::string, float> values;
  const Message summary(event.text(5));
  for (auto [it, end] = summary.texts.equal_range(1); it != end; ++it) {
    const Message value(it->second);
    values[value.text(1)] = std::bit_cast<float>(static_cast<uint32_t>(value.number(2)));
  }
  return values;
}

TEST(TensorboardTest, ScalarsComeBack) {
  const TempDir dir;
  double now = 1700000000.25;
  EventWriter writer(dir.path(), [&] { return now; });
  writer.scalar("train/loss", 1, 2.5);
  now += 1;
  writer.scalars(int64_t{1} << 40, std::vector<std::pair<std::string, double>>{
                                       {"é", -1e30}, {std::string(300, 'x'), HUGE_VAL}});
  writer.scalar("loss", -1, std::nan(""));
  writer.flush();

  const auto events = read_events(writer.path());
  ASSERT_EQ(events.size(), 4u);
  EXPECT_EQ(events[0].text(3), "brain.Event:2");
  EXPECT_EQ(std::bit_cast<double>(events[1].number(1)), 1700000000.25);
  EXPECT_EQ(events[1].number(2), 1u);
  EXPECT_THAT(scalars_of(events[1]), UnorderedElementsAre(Pair("train/loss", 2.5f)));
  EXPECT_EQ(std::bit_cast<double>(events[2].number(1)), 1700000001.25);
  EXPECT_EQ(events[2].number(2), uint64_t{1} << 40);
  EXPECT_THAT(scalars_of(events[2]),
              UnorderedElementsAre(Pair("é", -1e30f), Pair(std::string(300, 'x'), HUGE_VALF)));
  EXPECT_EQ(static_cast<int64_t>(events[3].number(2)), -1);
  EXPECT_TRUE(std::isnan(scalars_of(events[3]).at("loss")));
}

TEST(TensorboardTest, ARestartIsMarked) {
  const TempDir dir;
  EventWriter writer(dir.path(), [] { return 1700000000.0; });
  writer.restart(100);
  const auto events = read_events(writer.path());  // flushed
  ASSERT_EQ(events.size(), 2u);
  EXPECT_EQ(events[1].number(2), 100u);
  EXPECT_EQ(Message(events[1].text(7)).number(1), 1u);  // SessionLog.START
}

TEST(TensorboardTest, EachWriterHasItsFile) {
  const TempDir dir;
  const EventWriter one(dir.path(), [] { return 5.0; });
  const EventWriter two(dir.path(), [] { return 5.0; });
  EXPECT_NE(one.path(), two.path());
  EXPECT_THAT(file_name(one.path()),
              MatchesRegex("events\\.out\\.tfevents\\.0000000005\\..+\\..+"));
  EXPECT_GT(system_wall_time(), 1.7e9);
  EXPECT_THAT(ashlar::testing::error_of([&] { EventWriter writer(dir.path("no")); }),
              ::testing::StartsWith("cannot create " + dir.path("no/events")));
}

}  // namespace
}  // namespace ashlar::formats

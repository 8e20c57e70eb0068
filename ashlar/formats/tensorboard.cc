#include "ashlar/formats/tensorboard.h"

#include "ashlar/base/checksum.h"
#include "ashlar/base/env.h"
#include "ashlar/base/error.h"
#include "ashlar/base/file.h"

#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstring>

namespace ashlar::formats {
namespace {

// Field numbers of tensorflow/core/util/event.proto and framework/summary.proto.
constexpr int kEventWallTime = 1, kEventStep = 2, kEventFileVersion = 3, kEventSummary = 5,
              kEventSessionLog = 7;
constexpr int kSummaryValue = 1, kValueTag = 1, kValueSimple = 2;
constexpr int kSessionStatus = 1, kSessionStart = 1;

enum class Wire { kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5 };

void put_varint(std::string& out, uint64_t value) {
  for (; value >= 0x80; value >>= 7) out += static_cast<char>(value | 0x80);
  out += static_cast<char>(value);
}

void put_key(std::string& out, int field, Wire wire) {
  put_varint(out, (static_cast<uint64_t>(field) << 3) | static_cast<uint64_t>(wire));
}

template <typename T>
void put_raw(std::string& out, T value) {
  std::array<char, sizeof(T)> bytes{};
  std::memcpy(bytes.data(), &value, sizeof(T));
  out.append(bytes.data(), bytes.size());
}

void put_bytes(std::string& out, int field, const std::string& bytes) {
  put_key(out, field, Wire::kBytes);
  put_varint(out, bytes.size());
  out += bytes;
}

void put_number(std::string& out, int field, int64_t value) {
  put_key(out, field, Wire::kVarint);
  put_varint(out, static_cast<uint64_t>(value));
}

// TFRecord masks its checksums, since it may checksum data that hold checksums.
uint32_t masked_crc(const std::string& bytes) {
  const uint32_t crc = crc32c(std::as_bytes(std::span(bytes)));
  return ((crc >> 15) | (crc << 17)) + 0xa282ead8u;
}

std::string event_path(const std::string& folder, double seconds) {
  static std::atomic<int> count{0};
  return join_path(folder,
                   fmt::format("events.out.tfevents.{:010}.{}.{}.{}", static_cast<int64_t>(seconds),
                               host_name(), ::getpid(), count.fetch_add(1)));
}

}  // namespace

double system_wall_time() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

EventWriter::EventWriter(const std::string& folder, WallTime wall_time)
    : wall_time_(std::move(wall_time)),
      file_(event_path(folder, wall_time_()), {.append = true, .label = "tensorboard"}) {
  std::string version;
  put_bytes(version, kEventFileVersion, "brain.Event:2");
  write_event(0, version);
  flush();
}

void EventWriter::scalar(const std::string& tag, int64_t step, double value) {
  scalars(step, std::array{std::pair(tag, value)});
}

void EventWriter::scalars(int64_t step, std::span<const std::pair<std::string, double>> values) {
  std::string summary;
  for (const auto& [tag, number] : values) {
    std::string value;
    put_bytes(value, kValueTag, tag);
    put_key(value, kValueSimple, Wire::kFixed32);
    put_raw(value, static_cast<float>(number));
    put_bytes(summary, kSummaryValue, value);
  }
  std::string content;
  put_bytes(content, kEventSummary, summary);
  write_event(step, content);
}

void EventWriter::restart(int64_t step) {
  std::string log, content;
  put_number(log, kSessionStatus, kSessionStart);
  put_bytes(content, kEventSessionLog, log);
  write_event(step, content);
  flush();
}

void EventWriter::write_event(int64_t step, const std::string& content) {
  std::string event;
  put_key(event, kEventWallTime, Wire::kFixed64);
  put_raw(event, wall_time_());
  if (step != 0) put_number(event, kEventStep, step);
  event += content;

  std::string length, record;
  put_raw(length, static_cast<uint64_t>(event.size()));
  record = length;
  put_raw(record, masked_crc(length));
  record += event;
  put_raw(record, masked_crc(event));
  file_.write(record);
}

}  // namespace ashlar::formats

// Writes the event files that TensorBoard reads: TFRecord frames (length, masked CRC-32C, payload,
// CRC) around Event messages in protocol-buffer encoding. Scalars only.
#pragma once

#include "ashlar/base/file_writer.h"

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <utility>

namespace ashlar::formats {

using WallTime = std::function<double()>;  // seconds since 1970

double system_wall_time();

class EventWriter {
 public:
  // A new file events.out.tfevents.SECONDS.HOST.PID.N in an existing folder.
  explicit EventWriter(const std::string& folder, WallTime wall_time = system_wall_time);

  void scalar(const std::string& tag, int64_t step, double value);
  // Several values of one step, in one record.
  void scalars(int64_t step, std::span<const std::pair<std::string, double>> values);
  // The run goes on from here: TensorBoard drops what older files have at `step` and after.
  void restart(int64_t step);

  void flush() { file_.flush(); }
  const std::string& path() const { return file_.path(); }

 private:
  void write_event(int64_t step, const std::string& content);

  WallTime wall_time_;
  FileWriter file_;
};

}  // namespace ashlar::formats

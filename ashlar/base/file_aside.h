// Names of files and folders that are written aside before they are published: .NAME.tmp-PID-N.
#pragma once

#include <string>
#include <string_view>

namespace ashlar {

std::string aside_path(const std::string& target);  // a new one with each call
bool is_aside_name(std::string_view name);
// What a path aside will be called once it is published: what messages should say.
std::string published_path(const std::string& path);

}  // namespace ashlar

// Whole files and folders. Every failure is an Error with the path and the system's reason.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace ashlar {

// The whole content. A file of more than max_bytes is refused.
std::string read_file(const std::string& path, int64_t max_bytes = INT64_MAX);
int64_t file_size(const std::string& path);

bool is_file(const std::string& path);
bool is_directory(const std::string& path);
std::vector<std::string> list_directory(const std::string& path);  // names, sorted

void make_directories(const std::string& path);  // with parents; fine if it is there
void remove_tree(const std::string& path);       // a file or folder; fine if it is gone
void truncate_file(const std::string& path, int64_t bytes);
void sync_path(const std::string& path);  // fsync of a file or folder

std::string join_path(const std::string& folder, std::string_view name);
std::string parent_path(const std::string& path);  // "." where there is none
std::string file_name(const std::string& path);    // "b" of "a/b" and of "a/b/"

}  // namespace ashlar

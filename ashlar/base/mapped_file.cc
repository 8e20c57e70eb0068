#include "ashlar/base/mapped_file.h"

#include "ashlar/base/error.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

namespace ashlar {
namespace {

constexpr size_t kPage = 4096;

void* page_pointer(const std::byte* data, size_t offset) {
  return const_cast<std::byte*>(data + offset);
}

}  // namespace

MappedFile::MappedFile(const std::string& path) : path_(path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  ASHLAR_CHECK(fd >= 0, "cannot open {}: {}", path, std::strerror(errno));
  struct stat info {};
  const bool known = ::fstat(fd, &info) == 0;
  if (!known || !S_ISREG(info.st_mode)) {
    ::close(fd);
    fail("cannot read {}: not a regular file", path);
  }
  size_ = static_cast<size_t>(info.st_size);
  if (size_ > 0) {
    void* data = ::mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, fd, 0);
    const int reason = errno;
    ::close(fd);
    ASHLAR_CHECK(data != MAP_FAILED, "cannot map {} ({} bytes): {}", path, size_,
                 std::strerror(reason));
    data_ = static_cast<const std::byte*>(data);
  } else {
    ::close(fd);
  }
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) ::munmap(page_pointer(data_, 0), size_);
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : path_(std::move(other.path_)),
      data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

void MappedFile::will_need(size_t offset, size_t size) const {
  if (data_ == nullptr || size == 0) return;
  const size_t begin = offset / kPage * kPage;
  ::madvise(page_pointer(data_, begin), offset + size - begin, MADV_WILLNEED);
}

void MappedFile::release(size_t offset, size_t size) const {
  const size_t begin = (offset + kPage - 1) / kPage * kPage;
  const size_t end = (offset + size) / kPage * kPage;
  if (data_ == nullptr || begin >= end) return;
  ::madvise(page_pointer(data_, begin), end - begin, MADV_DONTNEED);
}

}  // namespace ashlar

#include "ashlar/base/error.h"

#include <cstdio>
#include <cstdlib>

namespace ashlar {

void dcheck_failed(const char* condition, const char* file, int line) {
  std::fprintf(stderr, "ashlar: internal invariant broken: %s at %s:%d\n", condition, file, line);
  std::abort();
}

}  // namespace ashlar

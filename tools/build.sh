#!/usr/bin/env bash
# Configures and builds: tools/build.sh PRESET [TARGET...]. At a terminal with ninja's progress line,
# else quiet; what failed is shown in both.
set -euo pipefail
cd "$(dirname "$0")/.."
preset=$1
shift

mkdir -p build
cmake --preset "$preset" >"build/configure-$preset.log" 2>&1 || {
  cat "build/configure-$preset.log" >&2
  echo "cmake could not configure $preset: the lines above say why" >&2
  exit 1
}
if [ -t 1 ]; then
  NINJA_STATUS='[%f/%t, %es] ' exec ninja -C "build/$preset" "$@"
else
  exec ninja -C "build/$preset" --quiet "$@"
fi

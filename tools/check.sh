#!/usr/bin/env bash
# The rules of the house that a script can see: format, include directions, style, kernel symbols.
#   tools/check.sh [--counts FILE]    appends 'passed failed skipped' to FILE
set -uo pipefail
cd "$(dirname "$0")/.."
counts=/dev/null
[ "${1:-}" = --counts ] && counts=$2

passed=0 failed=0
check() { # check NAME COMMAND...
  local name=$1
  shift
  if "$@"; then
    passed=$((passed + 1))
    echo "check $name: ok"
  else
    failed=$((failed + 1))
    echo "check $name: FAILED"
  fi
}

format() {
  git ls-files -- '*.h' '*.cc' | xargs -r clang-format --dry-run -Werror ||
    { echo "run ./dev fmt"; return 1; }
}
symbols() {
  tools/build.sh release kernel_tiers && tools/check_symbols.sh build/release
}

check format format
check layers python3 tools/check_layers.py
check style python3 tools/check_style.py
check symbols symbols

echo "$passed $failed 0" >>"$counts"
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]

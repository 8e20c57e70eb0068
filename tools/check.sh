#!/usr/bin/env bash
# The rules of the house that a script can see: format, include directions, style, kernel symbols.
#   tools/check.sh [--tidy] [--counts FILE]
# --tidy runs clang-tidy too (minutes); --counts appends 'passed failed skipped' to FILE.
set -uo pipefail
cd "$(dirname "$0")/.."
counts=/dev/null tidy=
while [ $# -gt 0 ]; do
  case $1 in
    --tidy) tidy=yes ;;
    --counts) counts=$2; shift ;;
    *) echo "check: unknown option $1 (--tidy, --counts FILE)" >&2; exit 2 ;;
  esac
  shift
done

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
tidy() {
  command -v clang-tidy >/dev/null || { echo "clang-tidy is missing: apt-get install clang-tidy"; return 1; }
  git ls-files -- 'ashlar/*.cc' 'tests/*.cc' 'bench/*.cc' | xargs -P "$(nproc)" -n 1 sh -c \
    'clang-tidy --quiet "$1" -- -std=c++20 -I. -DASHLAR_TIER_NAMESPACE=scalar -DASHLAR_TEST_DATA=\"\" \
       -DASHLAR_SHARED_DATA=\"\" -DASHLAR_BINARY=\"\" 2>/dev/null' tidy
}

check format format
check layers python3 tools/check_layers.py
check style python3 tools/check_style.py
check methods python3 tools/check_methods.py
check symbols symbols
[ -z "$tidy" ] || check tidy tidy

echo "$passed $failed 0" >>"$counts"
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]

#!/usr/bin/env bash
# Runs the commands that the documentation shows. A block opened by ```bash ci runs as it stands, with
# the blocks before it in the same file, in a scratch folder that looks like the checkout.
#   tools/doc_commands.sh [--counts FILE]
set -uo pipefail
cd "$(dirname "$0")/.."
counts=/dev/null
[ "${1:-}" = --counts ] && counts=$2

passed=0 failed=0
while read -r page; do
  scratch=$(mktemp -d)
  ln -s "$PWD"/* "$scratch"/  # what a command writes stays out of the checkout
  script=$scratch/.commands
  awk '/^```bash ci *$/ { inside = 1; next } /^```/ { inside = 0 } inside' "$page" >"$script"
  start=$SECONDS
  if (cd "$scratch" && bash -euxo pipefail .commands) >"$scratch/.log" 2>&1 </dev/null; then
    passed=$((passed + 1))
    echo "$page: ok, $((SECONDS - start)) s"
  else
    failed=$((failed + 1))
    echo "$page: FAILED"
    tail -n 40 "$scratch/.log"
  fi
  rm -rf "$scratch"
done < <(git ls-files -- '*.md' | xargs -r grep -l '^```bash ci *$')

echo "$passed $failed 0" >>"$counts"
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]

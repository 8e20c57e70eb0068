#!/usr/bin/env bash
# Runs the fuzzers of tests/fuzz one after the other: tools/fuzz.sh SECONDS [NAME...], all by default.
# Each first replays its corpus, then changes it for so long. A crash, an input that takes 20 s, or
# memory beyond the input's share fails; the input is then kept in build/fuzz/found. What is found
# belongs into tests/fuzz/corpus, and into a test that says what was wrong.
#   --counts FILE: appends 'passed failed skipped'
set -uo pipefail
cd "$(dirname "$0")/.."

counts=/dev/null
if [ "${1:-}" = --counts ]; then
  counts=$2
  shift 2
fi
seconds=${1:?usage: tools/fuzz.sh [--counts FILE] SECONDS [NAME...]}
shift
names=("$@")
[ $# -gt 0 ] || names=(safetensors gguf tokenizer config template)
tools/build.sh fuzz "${names[@]/%/_fuzz}" || exit 1

passed=0 failed=0
mkdir -p build/fuzz/found
for name in "${names[@]}"; do
  grown=build/fuzz/grown/$name # what earlier runs came upon, to go on from
  mkdir -p "$grown"
  log=build/fuzz/$name.log
  if "build/fuzz/tests/fuzz/${name}_fuzz" "$grown" "tests/fuzz/corpus/$name" \
    -dict="tests/fuzz/dictionaries/$name" -artifact_prefix="build/fuzz/found/$name-" \
    -max_total_time="$seconds" -timeout=20 -rss_limit_mb=1500 -max_len=16384 -use_value_profile=1 \
    -print_final_stats=1 >"$log" 2>&1; then
    passed=$((passed + 1))
    runs=$(awk '/stat::number_of_executed_units/ { print $2 }' "$log")
    covered=$(grep -oE 'cov: [0-9]+' "$log" | tail -n 1)
    echo "fuzz $name: ok, $runs inputs, ${covered/:/}"
  else
    failed=$((failed + 1))
    echo "fuzz $name: FAILED"
    tail -n 60 "$log"
  fi
done
echo "$passed $failed 0" >>"$counts"
[ "$failed" = 0 ]

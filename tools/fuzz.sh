#!/usr/bin/env bash
# Runs the fuzzers of tests/fuzz, one a core: tools/fuzz.sh SECONDS [NAME...], all by default.
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

fuzz() { # fuzz NAME: succeeds when nothing was found
  local name=$1 grown=build/fuzz/grown/$1 log=build/fuzz/$1.log
  mkdir -p "$grown" # what earlier runs came upon, to go on from
  if "build/fuzz/tests/fuzz/${name}_fuzz" "$grown" "tests/fuzz/corpus/$name" \
    -dict="tests/fuzz/dictionaries/$name" -artifact_prefix="build/fuzz/found/$name-" \
    -max_total_time="$seconds" -timeout=20 -rss_limit_mb=1500 -max_len=16384 -use_value_profile=1 \
    -print_final_stats=1 >"$log" 2>&1; then
    local runs covered
    runs=$(awk '/stat::number_of_executed_units/ { print $2 }' "$log")
    covered=$(grep -oE 'cov: [0-9]+' "$log" | tail -n 1)
    echo "fuzz $name: ok, $runs inputs, ${covered/:/}"
  else
    printf '%s\n' "fuzz $name: FAILED" "$(tail -n 60 "$log")"
    return 1
  fi
}

mkdir -p build/fuzz/found
failed=0 running=0
for name in "${names[@]}"; do
  if [ "$running" -ge "$(nproc)" ]; then
    wait -n || failed=$((failed + 1))
    running=$((running - 1))
  fi
  fuzz "$name" &
  running=$((running + 1))
done
for ((; running > 0; running--)); do wait -n || failed=$((failed + 1)); done
echo "$((${#names[@]} - failed)) $failed 0" >>"$counts"
[ "$failed" = 0 ]

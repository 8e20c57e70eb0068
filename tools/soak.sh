#!/usr/bin/env bash
# Long runs: tools/soak.sh [crashes|load|layouts|fuzz] [MINUTES]. crashes: a training run is killed at random
# moments, at least 50 times, and must end with the same log as one that was left alone. load: clients
# come and go, mid-stream and with nonsense, and the server must go on answering as at the start.
# layouts: every layout of ranks trains under mpirun as on threads and on one rank, and 100 drawn at
# random do or are refused; ranks are killed 50 times on changing layouts. Takes what it takes.
# fuzz: each fuzzer of tests/fuzz for so many minutes.
set -euo pipefail
cd "$(dirname "$0")/.."
what=${1:-all}
minutes=${2:-10}
[ "$what" != fuzz ] || exec tools/fuzz.sh $((60 * minutes))
tools/build.sh release ashlar
ashlar=$PWD/build/release/ashlar
fixtures=$PWD/tests/fixtures/models
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

crashes() {
  local steps=400 kills=0 end=$((SECONDS + 60 * minutes)) runs=0
  local settings=(
    "data.train=$PWD/LICENSE" "data.tokenizer=$fixtures/llama" "data.cache=$work/tokens"
    model.width=64 model.layers=2 model.heads=2 train.seq=64 train.batch=4 "train.steps=$steps"
    checkpoint.every=10 valid.every=0 run.peak_flops=1e11)
  # What must be equal: everything but the clock's share.
  losses() { grep -oE '"(step|loss|grad_norm|lr)":[^,}]*' "$1/metrics.jsonl"; }
  "$ashlar" train "${settings[@]}" "run.dir=$work/whole" 2>"$work/log"
  losses "$work/whole" >"$work/wanted"
  while [ $SECONDS -lt $end ] || [ $kills -lt 50 ]; do
    rm -rf "$work/torn"
    local done=
    while [ -z "$done" ]; do
      "$ashlar" train "${settings[@]}" "run.dir=$work/torn" --resume >"$work/out" 2>"$work/log" &
      local pid=$!
      sleep "$(awk -v r=$RANDOM 'BEGIN { print 0.2 + 2.5 * r / 32768 }')"
      if kill -KILL $pid 2>/dev/null; then kills=$((kills + 1)); fi
      if wait $pid 2>/dev/null; then done=yes; fi
    done
    losses "$work/torn" | cmp - "$work/wanted" ||
      { echo "soak: a resumed run differs from the uninterrupted one" >&2; return 1; }
    runs=$((runs + 1))
  done
  echo "crashes: $runs runs of $steps steps, killed $kills times, every log as if never interrupted"
}

load() {
  "$ashlar" serve "$fixtures/llama" --name soak --port 0 --log-level warn 2>"$work/serve.log" &
  local server=$! url= requests=0 end=$((SECONDS + 60 * minutes))
  until url=$(grep -oE 'http://[0-9.]+:[0-9]+' "$work/serve.log" | head -n 1); do
    kill -0 $server || { cat "$work/serve.log" >&2; return 1; }
    sleep 0.1
  done
  ask() { # ask SECONDS BODY
    curl --silent --max-time "$1" "$url/v1/completions" -H 'Content-Type: application/json' -d "$2"
  }
  answer() {
    ask 60 '{"model": "soak", "prompt": "To be", "max_tokens": 24, "temperature": 0, "ignore_eos": true}' |
      grep -oE '"text":"([^"\\]|\\.)*"'
  }
  local first memory
  first=$(answer)
  memory=$(awk '/VmRSS/ { print $2 }' /proc/$server/status)
  while [ $SECONDS -lt $end ]; do
    for _ in $(seq 16); do
      ask 0.0$((RANDOM % 9 + 1)) '{"model": "soak", "prompt": "a b c", "max_tokens": 200, "stream": true, "ignore_eos": true}' >"$work/null" &
    done
    ask 10 '{"model": "soak", "prompt": ' >"$work/null" || true
    wait $(jobs -p | grep -vx $server) || true
    [ "$(answer)" = "$first" ] || { echo "soak: the answer changed" >&2; return 1; }
    requests=$((requests + 18))
  done
  local grown=$(($(awk '/VmRSS/ { print $2 }' /proc/$server/status) - memory))
  kill -TERM $server
  wait $server || { echo "soak: the server did not end well" >&2; return 1; }
  [ $grown -lt 65536 ] || { echo "soak: the server grew by $grown KiB" >&2; return 1; }
  echo "load: $requests requests, most broken off; the same answer throughout; grew by $grown KiB"
}

layouts() {
  ASHLAR_SOAK=1 python3 tools/run_tests.py build/release --limit 7200 train/test_layouts.py train/test_rank_faults.py
}

case $what in
  crashes | load | layouts) $what ;;
  all) crashes && load && layouts && tools/fuzz.sh $((60 * minutes)) ;;
  *) echo "usage: tools/soak.sh [crashes|load|layouts|fuzz] [MINUTES]" >&2; exit 2 ;;
esac

#!/usr/bin/env bash
# From nothing to a model that answers over HTTP: trains a small LLaMA-style model on this machine's
# C and C++ headers for about two minutes, completes a snippet, serves it, asks it.
set -euo pipefail
cd "$(dirname "$0")/.."

seconds=120          # of training
work=build/demo      # everything the demo writes
headers=/usr/include # up to 8 MB of it, in a fixed order
enough=0.60          # of the validation loss at the start

bold='' plain=''
[ -t 2 ] && bold=$'\033[1m' plain=$'\033[0m'
say() { printf '\n%s%s%s\n' "$bold" "$*" "$plain" >&2; }
# field KEY: the number of that key in the JSON object on standard input
field() { grep -oE "\"$1\":-?[0-9.eE+-]+" | head -n 1 | cut -d: -f2; }

say "1. Build"
tools/build.sh release ashlar
ashlar=build/release/ashlar
rm -rf "$work"
mkdir -p "$work"

say "2. Learn a tokenizer from the headers in $headers"
extensions=h,hh,hpp,hxx,ipp,tcc
$ashlar tokenize train $headers --extensions $extensions --max-bytes 8000000 --vocab-size 2048 \
  --out "$work/tokenizer.json"

say "3. Train for about $((seconds / 60)) minutes"
settings=(
  "data.train=$headers" "data.max_bytes=8000000" "data.valid_share=0.05" "data.bad_utf8=replace"
  "data.extensions=$extensions"
  "data.tokenizer=$work/tokenizer.json" "data.cache=$work/tokens"
  model.family=llama model.width=128 model.layers=3 model.heads=4 model.kv_heads=2
  train.seq=128 train.batch=8 train.optimizer=muon train.lr=4e-3 train.warmup=20 checkpoint.every=0
)
# How fast is this machine? A few steps tell how many fit into the time.
speed=$($ashlar train "${settings[@]}" train.steps=12 train.warmup=2 valid.every=0 \
  "run.dir=$work/probe" --log-level warn --json 2>"$work/probe.log" | field tokens_per_s) ||
  { cat "$work/probe.log" >&2; exit 1; }
steps=$(awk -v s="$speed" -v t="$seconds" \
  'BEGIN { n = int(s * t / (8 * 128)); if (n < 350) n = 350; if (n > 5000) n = 5000; print n }')
result=$($ashlar train "${settings[@]}" "train.steps=$steps" "valid.every=$((steps / 4 + 1))" \
  "run.dir=$work/run" --json)
before=$(field valid_loss_start <<<"$result")
after=$(field valid_loss <<<"$result")
model=$(sed -E 's/.*"checkpoint":"([^"]*)".*/\1/' <<<"$result")
printf 'validation loss: %.3f at the start, %.3f after %d steps\n' "$before" "$after" "$steps" >&2
$ashlar report "$work/run" >&2

say "4. Complete a snippet"
$ashlar run "$model" $'#ifndef _STDIO_H\n#define' --max-new 80 --temperature 0.3 --seed 1

say "5. Serve it and ask"
$ashlar serve "$model" --name demo --port 0 2>"$work/serve.log" &
server=$!
trap 'kill $server 2>/dev/null || true' EXIT
url=
for _ in $(seq 100); do
  url=$(grep -oE ' at http://[0-9.]+:[0-9]+' "$work/serve.log" | head -n 1 | cut -c5-) && break
  kill -0 $server 2>/dev/null || break
  sleep 0.1
done
[ -n "$url" ] || { cat "$work/serve.log" >&2; exit 1; }
curl --silent --show-error --fail --no-buffer "$url/v1/completions" \
  -H 'Content-Type: application/json' \
  -d '{"model": "demo", "prompt": "#include <", "max_tokens": 16, "temperature": 0, "stream": true}' \
  | tee "$work/answer"
grep -q '^data: \[DONE\]' "$work/answer" || { echo "demo: the stream broke off" >&2; exit 1; }
kill -TERM $server
wait $server || { echo "demo: the server did not end well" >&2; exit 1; }
trap - EXIT

if ! awk -v a="$after" -v b="$before" -v e="$enough" 'BEGIN { exit !(a < e * b) }'; then
  echo "demo: the validation loss is not below $enough of its start" >&2
  exit 1
fi
say "Go on with"
cat <<NEXT
  $ashlar run $model 'int main(' --max-new 100
  $ashlar serve $model
  $ashlar train --resume ${settings[*]@Q} train.steps=$((2 * steps)) run.dir=$work/run
NEXT

#!/usr/bin/env bash
# Measures this machine and Ashlar on it: tools/bench.sh [--torch]. The results are printed, one
# JSON object a line; --torch compares training with PyTorch too (minutes; downloads it) and writes
# bench/results/.
set -euo pipefail
cd "$(dirname "$0")/.."
tools/build.sh release ashlar
ashlar=build/release/ashlar

$ashlar bench machine
for shape in "char-10m 12 256" "gpt2-124m 4 256" "llama-60m 4 256"; do
  read -r name batch seq <<<"$shape"
  $ashlar bench train --shape "$name" --batch "$batch" --seq "$seq" --steps 8
done
for model in tests/fixtures/models/llama tests/fixtures/models/gpt2; do
  echo "$model: $($ashlar bench infer "$model" --prefill 128 --decode 64 --batch 8)"
done
if [ "${1:-}" = --torch ]; then
  python3 bench/compare_train.py --ashlar $ashlar
fi

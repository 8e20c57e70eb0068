#!/usr/bin/env bash
# Compares with other implementations: tools/oracles.sh [NAME [--write]]. Without a name each oracle
# that compares runs; --write renews what tests/fixtures holds of it. Downloads what
# tests/oracles/requirements.txt names (torch, transformers) into build/oracles; for llamacpp_*
# llama-cpp-python, which is built from source (20 minutes on two cores).
set -euo pipefail
cd "$(dirname "$0")/.."

run() { # run NAME ARGUMENTS...
  local name=$1 venv=build/oracles/venv wanted=tests/oracles/requirements.txt
  shift
  case $name in
    llamacpp_*) venv=build/oracles/llamacpp wanted=tests/oracles/llamacpp-requirements.txt ;;
  esac
  tools/venv.sh "$venv" "$wanted"
  "$venv/bin/python" "tests/oracles/$name.py" "$@"
}

if [ $# -gt 0 ]; then
  name=$1
  shift
  [ -f "tests/oracles/$name.py" ] || { echo "oracles: no tests/oracles/$name.py" >&2; exit 2; }
  run "$name" "$@"
  exit
fi

failed=0
for script in tests/oracles/torch_*.py tests/oracles/{tokenizer_points,unigram_training}.py \
  tests/oracles/llamacpp_{models,encoders,perplexity}.py; do
  name=$(basename "$script" .py)
  echo "== $name"
  run "$name" || failed=$((failed + 1))
done
[ $failed = 0 ] || { echo "oracles: $failed failed" >&2; exit 1; }

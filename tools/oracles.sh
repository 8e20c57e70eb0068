#!/usr/bin/env bash
# Compares with other implementations: tools/oracles.sh [NAME [--write]]. Without a name each oracle
# that compares runs; --write renews what tests/fixtures holds of it. Downloads what
# tests/oracles/requirements.txt names (torch, transformers) into build/oracles.
set -euo pipefail
cd "$(dirname "$0")/.."

tools/venv.sh build/oracles/venv tests/oracles/requirements.txt
python=build/oracles/venv/bin/python
if [ $# -gt 0 ]; then
  name=$1
  shift
  [ -f "tests/oracles/$name.py" ] || { echo "oracles: no tests/oracles/$name.py" >&2; exit 2; }
  exec $python "tests/oracles/$name.py" "$@"
fi

failed=0
for script in tests/oracles/torch_*.py; do
  echo "== ${script#tests/oracles/}"
  $python "$script" || failed=$((failed + 1))
done
[ $failed = 0 ] || { echo "oracles: $failed failed" >&2; exit 1; }

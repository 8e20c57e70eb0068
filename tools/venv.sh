#!/usr/bin/env bash
# A Python environment for tests: tools/venv.sh DIR REQUIREMENTS; done at once when it is up to date.
set -euo pipefail
dir=$1
requirements=$2
if cmp -s "$requirements" "$dir/requirements.txt"; then exit 0; fi

echo "setup: Python packages of $requirements into $dir" >&2
python=/usr/bin/python3
[ -x $python ] || python=python3
rm -rf "$dir"
$python -m venv "$dir"
for pause in 5 20 0; do
  if "$dir/bin/pip" install --quiet --disable-pip-version-check -r "$requirements"; then
    cp "$requirements" "$dir/requirements.txt"
    exit 0
  fi
  sleep $pause
done
echo "setup: pip could not install $requirements" >&2
exit 1

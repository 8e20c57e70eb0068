#!/usr/bin/env bash
# Everything a change must pass, stage by stage, each with its time; the last line counts it all.
set -uo pipefail
cd "$(dirname "$0")/.."

counts=$(mktemp)
trap 'rm -f "$counts"' EXIT
summary=()

stage() { # stage NAME COMMAND...: a command that fails without counting anything counts as one failed
  local name=$1 start=$SECONDS before after outcome=ok
  shift
  before=$(wc -l <"$counts")
  printf '\n== stage %s, at %d:%02d\n' "$name" $((start / 60)) $((start % 60))
  if ! "$@"; then
    outcome=FAILED
    after=$(tail -n +$((before + 1)) "$counts" | awk '{ n += $2 } END { print n + 0 }')
    [ "$after" -gt 0 ] || echo "0 1 0" >>"$counts"
  fi
  summary+=("$(printf '%-12s %-7s %5d s' "$name" $outcome $((SECONDS - start)))")
  printf '== stage %s: %s in %d s\n' "$name" $outcome $((SECONDS - start))
}

run_tests() { # run_tests PRESET [options and programs of tools/run_tests.py]
  local preset=$1
  shift
  python3 tools/run_tests.py "build/$preset" --known-skips tools/known_skips.txt --counts "$counts" "$@"
}

sanitized_tests() { # the same, on programs only
  UBSAN_OPTIONS=print_stacktrace=1 LSAN_OPTIONS=suppressions=$PWD/tools/lsan.supp:print_suppressions=0 \
    TSAN_OPTIONS=suppressions=$PWD/tools/tsan.supp:halt_on_error=1 \
    run_tests "$@" --exclude "tests/exclude_$1.txt" --no-python
}

threaded=() # what runs threads, of what there is
for folder in base comm runtime serve; do
  compgen -G "tests/$folder/*_test.cc" >/dev/null && threaded+=("${folder}_test")
done

# From nothing, with sources compiled together, which takes a third less.
[ -e build/release/CMakeCache.txt ] || cmake --preset release -DASHLAR_GROUPED=ON >/dev/null

stage check tools/check.sh --counts "$counts"
stage build tools/build.sh release all
stage test run_tests release
stage build-asan tools/build.sh asan tests
stage asan sanitized_tests asan
stage build-tsan tools/build.sh tsan "${threaded[@]}"
stage tsan sanitized_tests tsan "${threaded[@]}" --launcher "setarch $(uname -m) -R"
stage fuzz tools/fuzz.sh --counts "$counts" 20
stage docs tools/doc_commands.sh --counts "$counts"

printf '\n'
printf '%s\n' "${summary[@]}"
printf '%-20s %5d s\n' total "$SECONDS"
read -r passed failed skipped < <(awk '{ p += $1; f += $2; s += $3 } END { print p, f, s }' "$counts")
echo "$passed passed, $failed failed$([ "$skipped" = 0 ] || echo ", $skipped skipped")"
[ "$failed" = 0 ]

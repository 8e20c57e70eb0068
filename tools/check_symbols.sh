#!/usr/bin/env bash
# Every symbol that a kernel tier's objects define must name its namespace, ashlar::kernels::<tier>, in
# its own name or in a template argument, so that no other object can define it too. Anything else (a
# weak std:: function, say) is AVX-512 code that the linker may choose for every caller.
set -euo pipefail
build=$1

bad=0 tiers=0 symbols=0
for folder in "$build"/CMakeFiles/ashlar_kernels_*.dir; do
  [ -d "$folder" ] || continue
  tier=${folder##*/ashlar_kernels_}
  tier=${tier%.dir}
  names=$(find "$folder" -name '*.o' -print0 |
    xargs -0 -r nm --demangle --defined-only --extern-only --no-sort --quiet |
    sed -nE 's/^[0-9a-f]+ [A-Za-z] //p' |
    sed '/^DW.ref.__gxx_personality_v0$/d' | sort -u)  # a pointer, no code
  if foreign=$(grep -vF "ashlar::kernels::$tier::" <<<"$names" | grep .); then
    bad=1
    echo "tier $tier defines symbols outside ashlar::kernels::$tier:"
    sed 's/^/  /' <<<"$foreign"
  fi
  own=$(grep -cF "ashlar::kernels::$tier::" <<<"$names") || { echo "tier $tier defines nothing"; bad=1; }
  tiers=$((tiers + 1)) symbols=$((symbols + own))
done
echo "$symbols symbols in $tiers tiers"
[ "$tiers" -gt 0 ] || echo "no tier was built"
[ "$tiers" -gt 0 ] && [ "$bad" = 0 ]

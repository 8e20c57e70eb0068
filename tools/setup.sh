#!/usr/bin/env bash
# Installs the Debian packages that are missing, and says which and why.
#   tools/setup.sh core [test] [bench] [fuzz]     the tiers wanted; done at once when all is there
set -euo pipefail

# tier  package  what it is for
packages() {
  cat <<'LIST'
core  g++                    compiler
core  cmake                  build system
core  ninja-build            build system
core  ccache                 keeps compiled files between builds
core  pkgconf                finds libraries
core  libfmt-dev             text formatting
core  libspdlog-dev          log lines
core  libcli11-dev           command line
core  nlohmann-json3-dev     JSON
core  libtomlplusplus-dev    configuration files
core  libpcre2-dev           tokenizer patterns
core  libutf8proc-dev        Unicode normalisation
core  libboost-dev           HTTP (Beast, Asio)
core  libssl-dev             TLS, checksums
core  prometheus-cpp-dev     server metrics
core  zlib1g-dev             compression
core  curl                   the request of the demo
test  libgtest-dev           tests
test  libgmock-dev           tests
test  libopenmpi-dev         runs across processes
test  openmpi-bin            runs across processes
test  iproute2               runs across network namespaces
test  procps                 looks for processes that are left
test  qemu-user              runs on older processors
test  python3                test runner, source checks
test  python3-venv           clients that tests use
test  git                    lists the files to check
test  clang-format           source format
bench libbenchmark-dev       benchmarks
fuzz  clang-16               sanitizers, fuzzers
fuzz  libclang-rt-16-dev     sanitizers, fuzzers
fuzz  llvm-16                names the lines in what sanitizers report
fuzz  lld                    fuzzers: drops what their parsers do not reach
LIST
}

say() { printf '%s\n' "setup: $*" >&2; }

wanted=()
while read -r tier package _; do
  case " $* " in *" $tier "*) wanted+=("$package") ;; esac
done < <(packages)

if ! command -v dpkg-query >/dev/null; then
  say "not a Debian system: install by hand what the build does not find (${wanted[*]})"
  exit 0
fi

missing=() # those that one dpkg-query does not call installed
installed=" $(dpkg-query -W -f='${Package}=${db:Status-Status} ' "${wanted[@]}" 2>/dev/null || true) "
for package in "${wanted[@]}"; do
  case "$installed" in *" $package=installed "*) ;; *) missing+=("$package") ;; esac
done
[ ${#missing[@]} -gt 0 ] || exit 0

say "${#missing[@]} packages are missing:"
packages | while read -r _ package why; do
  case " ${missing[*]} " in *" $package "*) say "  $package ($why)" ;; esac
done

as_root=()
if [ "$(id -u)" -ne 0 ]; then
  command -v sudo >/dev/null || { say "neither root nor sudo: as root run: apt-get install ${missing[*]}"; exit 1; }
  as_root=(sudo)
fi
apt() { # waits for another apt to end, asks nothing
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 \
    -o Acquire::Retries=3 -o Dpkg::Use-Pty=0 -qq "$@" </dev/null
}
try() { # three times, a little later each time
  local pause
  for pause in 5 20 0; do
    "$@" && return 0
    [ "$pause" = 0 ] || { say "failed: ${*:2}; again in $pause s"; sleep "$pause"; }
  done
  return 1
}

say "apt-get update"
try apt -o APT::Update::Error-Mode=any update || say "some package lists could not be fetched: going on with the old ones"
say "apt-get install ${missing[*]}"
try apt install --yes --no-install-recommends "${missing[@]}" >/dev/null ||
  { say "apt-get could not install: ${missing[*]}"; exit 1; }
say "done"

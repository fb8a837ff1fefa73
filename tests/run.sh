#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# run.sh [--full] - everything that is promised, on a Debian with nothing installed.
#
# Installs what is missing, builds with gcc, with clang and its sanitizers, with the thread
# sanitizer and with libFuzzer, then runs the tests of all builds as one ctest run, whose summary is
# the last thing printed. Exits non-zero if anything failed. --full (hours more) also builds as
# users do with clang, runs the tests named ..._full and writes their figures to tests/LAST_FULL.md,
# and how often each fault was made to happen to tests/FAULTS.md. JOBS (default: the processors, at
# most 4) is how many things run at once, and one test more.
set -euo pipefail
cd "$(dirname "$0")/.."
exec </dev/null
full=no
case ${1-} in
'') ;;
--full) full=yes ;;
*)
    echo "usage: tests/run.sh [--full]" >&2
    exit 2
    ;;
esac
jobs=${JOBS:-$(nproc)}
[ "$jobs" -le 4 ] || jobs=4
builds=(release asan tsan fuzz)
[ $full = no ] || builds+=(clang)
check=build/check
begun=$SECONDS

say() {
    printf '\n== %s\n' "$*"
}

# shellcheck source=tests/tools/packages.bash
source tests/tools/packages.bash
# clang's sanitizers are a package of their own; llvm has what finds the lines that they name.
# cppcheck and clang-tidy are for tests/analyse.
packages=(gcc g++ libc6-dev clang libclang-rt-dev llvm clang-format clang-tidy cppcheck cmake make
    pkg-config e2fsprogs binutils python3 valgrind spin lz4 libzmq3-dev libczmq-dev liblz4-dev
    libxxhash-dev libjansson-dev libcsv-dev libsqlite3-dev sqlite3 libcriterion-dev)

# A build that breaks does not end the run: the test `build.NAME` fails, and what was built (-k)
# tells more.
build() {
    local at=$SECONDS
    say "build $1"
    if cmake --preset "$1" >"$check/$1.log" 2>&1 &&
        cmake --build --preset "$1" -j "$jobs" -- -k >>"$check/$1.log" 2>&1; then
        echo "built in $((SECONDS - at)) s"
        touch "$check/$1.built"
    else
        grep -E -A 5 "error:|undefined reference|CMake Error" "$check/$1.log" | head -n 60
        echo "FAILED after $((SECONDS - at)) s; all of it is in $check/$1.log"
    fi
}

# One ctest run over all builds: their tests, and that each was built to the end.
write_tests() {
    local name
    {
        for name in "${builds[@]}"; do
            echo "add_test(build.$name test -e \"$PWD/$check/$name.built\")"
        done
        for name in "${builds[@]}"; do
            [ ! -e "build/$name/CTestTestfile.cmake" ] || echo "subdirs(\"$PWD/build/$name\")"
        done
    } >"$check/CTestTestfile.cmake"
}

run_tests() {
    # One more: there is always one that waits, for a kill or a disk.
    local options=(--test-dir "$check" --output-on-failure -j $((jobs + 1)))
    [ $full = no ] || options+=(-C Full)
    say "tests of ${builds[*]}"
    ctest "${options[@]}"
}

write_figures() {
    {
        echo "# The last full run"
        echo
        echo "Written by \`tests/run.sh --full\`: what it was run on, how long each test took, and"
        echo "what the tests measured."
        echo
        echo "- $(date -u +%Y-%m-%d), commit $(git rev-parse --short HEAD 2>/dev/null || echo none)"
        echo "- $(nproc) x $(sed -n 's/^model name.*: //p' /proc/cpuinfo | head -n 1)," \
            "$(awk '/^MemTotal/ {printf "%.1f GiB", $2 / 1048576}' /proc/meminfo)," \
            "Linux $(uname -r)"
        echo "- $(gcc --version | head -n 1); $(clang --version | head -n 1)"
        echo
        echo '```'
        sed -n 's/^ *[0-9]*\/[0-9]* Test *#[0-9]*: //p; /tests passed/p' "$check/ctest.log"
        echo '```'
        echo
        echo '```'
        sed -n 's/^\(\[[^]]*\] *\)*figure: //p' "$check/Testing/Temporary/LastTest.log"
        echo '```'
    } >tests/LAST_FULL.md
}

rm -rf "$check"
mkdir -p "$check"
install_missing "${packages[@]}"
for name in "${builds[@]}"; do
    build "$name"
done
write_tests
say "builds took $((SECONDS - begun)) s"
status=0
if [ $full = yes ]; then
    run_tests 2>&1 | tee "$check/ctest.log" || status=1
    write_figures
    python3 tests/faults --count "$check/Testing/Temporary/LastTest.log" || status=1
else
    run_tests || status=1
fi
exit $status

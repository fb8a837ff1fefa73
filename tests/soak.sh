#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# soak.sh [--minutes N] [--seed S] - random jobs, modes, kills and faults, of real processes, until
# the time is over.
#
# Installs what is missing, builds with gcc as users do, then runs turn after turn, some at a time:
# a job with a known result lives some lives that end in a kill, a stop, a failing file call, a full
# disk, a hang or a broken connection, each with options of its own, and comes to its end. What it
# has published then is counted record by record, its stores are read to the last byte, and nothing
# may be left over. The last line says how much there was of all that; an exit code of 0, that
# nothing was lost, doubled or strange. Of a turn that was not exact, the folder with its store and
# its logs is kept, and it is said how to run that turn again: --turn T, with the same seed, repeats
# all decisions, but not the timing.
set -euo pipefail
cd "$(dirname "$0")/.."

usage() {
    [ $# = 0 ] || echo "soak.sh: $*" >&2
    echo "usage: tests/soak.sh [--minutes N] [--seed S] [--turn T]" >&2
    exit 2
}

say() {
    printf '== %s\n' "$*"
}

# shellcheck source=tests/tools/packages.bash
source tests/tools/packages.bash
packages=(gcc libc6-dev cmake make pkg-config python3 libzmq3-dev libczmq-dev liblz4-dev
    libxxhash-dev libjansson-dev libcsv-dev libsqlite3-dev libcriterion-dev)

build() {
    local at=$SECONDS log=build/soak.log target targets=()
    for target in example_{word_count,two_inputs,custom_operator,sessionize,bank,sqlite_sink} \
        program_{faulty,lines,sound} fault detour detour_shim; do
        targets+=(--target "$target")
    done
    mkdir -p build
    say "build release"
    if ! { cmake --preset release && cmake --build --preset release -j "$(nproc)" \
        "${targets[@]}"; } >"$log" 2>&1; then
        tail -n 30 "$log"
        echo "FAILED: all of it is in $log"
        exit 1
    fi
    say "built in $((SECONDS - at)) s"
}

options=()
while [ $# -gt 0 ]; do
    case $1 in
    --minutes | --seed | --turn)
        [ $# -gt 1 ] || usage "$1: a number is missing"
        [[ $2 =~ ^[0-9]{1,9}$ ]] || usage "$1 $2: say a whole number"
        [ "$1" != --minutes ] || ((10#$2 > 0)) || usage "$1 $2: say at least 1"
        options+=("$1" "$((10#$2))")
        shift 2
        ;;
    --help) usage ;;
    *) usage "$1: there is no such option" ;;
    esac
done

install_missing "${packages[@]}"
build
exec python3 tests/soak/run build/release "${options[@]}"

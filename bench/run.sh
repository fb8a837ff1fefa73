#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# run.sh [--quick | --full | --trial] [--scenario S]... [--compare OLD.json] [--out FOLDER]
#     [-- JOB run OPTION...] - what weir costs on this machine; or what checkpoints cost a job of
# your own, any program on libweir_main.
#
# Installs what is missing, builds with gcc as users do, runs the scenarios of README.md, prints a
# table and, as the last line, key=value. All that was measured is in a JSON file (RESULTS.md) and
# in an HTML report; it says where. --quick, the default, ends within five minutes on two
# processors; --full takes more than an hour. Nothing else should run meanwhile: a run that was too
# noisy says so.
set -euo pipefail
from=$PWD
cd "$(dirname "$0")/.."

say() {
    printf '== %s\n' "$*"
}

# shellcheck source=tests/tools/packages.bash
source tests/tools/packages.bash
packages=(gcc libc6-dev cmake make pkg-config python3 libzmq3-dev libczmq-dev liblz4-dev
    libxxhash-dev libjansson-dev libcsv-dev)

build() {
    local at=$SECONDS log=build/bench.log target targets=()
    for target in limits overhead latency delay recovery shape paced during throughput \
        backpressure; do
        targets+=(--target "bench_$target")
    done
    mkdir -p build
    say "build release"
    if ! { cmake -S . -B build/bench -DCMAKE_BUILD_TYPE=Release -DCMAKE_C_COMPILER=gcc \
        -DWEIR_TESTS=OFF && cmake --build build/bench -j "$(nproc)" "${targets[@]}"; } \
        >"$log" 2>&1; then
        tail -n 30 "$log"
        echo "FAILED: all of it is in $log"
        exit 1
    fi
    say "built in $((SECONDS - at)) s"
}

# What is wrong is said before anything is built. Paths are as the caller means them.
install_missing "${packages[@]}"
run=(python3 "$PWD/bench/run" "$PWD/build/bench")
case " $* " in
*" --help "* | *" -h "*) exec "${run[@]}" --help ;;
esac
(cd "$from" && "${run[@]}" --check "$@")
build
cd "$from"
exec "${run[@]}" "$@"

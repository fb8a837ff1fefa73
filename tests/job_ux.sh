#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# What a new user types and sees, tests/ux/transcript.md, is still what happens: an own operator
# built against the installed library, run, killed, asked, and every common mistake.
#
#     tests/job_ux.sh BUILD_FOLDER

if [[ $(id -u) != 0 && -z ${WEIR_NAMESPACE:-} ]] && unshare -Urm true 2>/dev/null; then
    WEIR_NAMESPACE=1 exec unshare -Urm bash "$0" "$@"
fi
here=$(cd "$(dirname "$0")" && pwd)
source "$here/tools/job.bash"
build=$(cd "$1" && pwd)
cached() { # NAME: of the build's settings
    sed -n "s/^$1:[A-Z]*=//p" "$build/CMakeCache.txt"
}

# The user's shell: `cc` is the compiler of the build, with its sanitizers, if it has any.
mkdir "$work/bin" "$work/home"
sanitize=$(cached WEIR_SANITIZE)
cat >"$work/bin/cc" <<END
#!/bin/sh
exec "$(cached CMAKE_C_COMPILER)" ${sanitize:+-fsanitize=$sanitize} "\$@"
END
chmod +x "$work/bin/cc"
export PATH=$work/bin:$PATH
cd "$work/home"
ln -s "$build" build
cp "$here/ux/readings.c" .

# What still runs is the walk's and has its number in a file; a number in use by others is let be.
leave() {
    local code=$? id
    for id in $(cat "$work"/home/*.pid 2>/dev/null); do
        [[ $(readlink "/proc/$id/cwd") != "$work/home" ]] || kill -KILL "$id" || true
    done
    cd /
    umount "$work/home/disk" 2>/dev/null || true
    rm -rf "$work"
    exit "$code"
}
trap leave EXIT

lacking=()
mkdir disk
if mount -t tmpfs -o size=256k,mode=0700 weir-test disk 2>/dev/null; then
    umount disk
else
    lacking=(mount)
fi
python3 "$here/ux/walk.py" "$here/ux/transcript.md" "${lacking[@]}"

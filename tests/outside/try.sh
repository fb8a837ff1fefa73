#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# try.sh STEP BUILD - libweir as a stranger meets it, from a tree installed by BUILD.
#   install    puts it there
#   symbols    nothing but weir's own names is let out, and no program's library is needed
#   hardening  libraries and programs are linked and compiled as SECURITY.md says
#   headers    each public header stands alone, in C and in C++
#   cmake      a project that says find_package(weir)
#   pkgconfig  a program compiled with what pkg-config says, shared and static
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
step=$1
build=$(cd "$2" && pwd)
prefix=$build/outside/prefix
work=$build/outside/$step
cc=$(sed -n 's/^CMAKE_C_COMPILER:[A-Z]*=//p' "$build/CMakeCache.txt")
export PKG_CONFIG_PATH=
for folder in "$prefix"/lib*/pkgconfig "$prefix"/lib/*/pkgconfig; do
    [ -d "$folder" ] && PKG_CONFIG_PATH=$folder
done
libraries=${PKG_CONFIG_PATH%/pkgconfig}

fail() {
    echo "outside $step: $*" >&2
    exit 1
}

# With -I, not -isystem, a compiler does warn about headers.
strict=(-Wall -Wextra -Wpedantic -Werror)

step_install() {
    rm -rf "$prefix" "$prefix.moved"
    cmake --install "$build" --prefix "$prefix" >/dev/null
    # The tool finds the library from where it lies, also in a tree that was moved.
    mv "$prefix" "$prefix.moved"
    "$prefix.moved"/bin/weir --version >/dev/null || fail "weir does not start"
    mv "$prefix.moved" "$prefix"
    # A tree that can be moved: no file may remember where it was built.
    if grep -rlF -e "$build" "$prefix" --include='*.cmake' --include='*.pc' --include='*.h'; then
        fail "the files above name the build folder"
    fi
}

step_symbols() {
    local let_out
    for library in "$libraries"/libweir.so "$libraries"/libweir_main.so \
        "$libraries"/libweir_sqlite.so; do
        [ -e "$library" ] || continue
        # Version nodes are listed as absolute symbols (A).
        let_out=$(nm -D --defined-only "$library" | awk '$2 != "A" && $3 !~ /^weir_/ {print $3}')
        [ -z "$let_out" ] || fail "${library##*/} lets out: $let_out"
        readelf -d "$library" | grep -q 'SONAME.*\.so\.[0-9]' || fail "${library##*/}: no SONAME"
    done
    let_out=$(nm -g --defined-only "$libraries"/libweir.a |
        awk 'NF == 3 && $3 !~ /^weir_/ {print $3}')
    [ -z "$let_out" ] || fail "libweir.a lets out: $let_out"
    if readelf -d "$libraries"/libweir.so | grep NEEDED | grep -Eq 'czmq|sqlite'; then
        fail "libweir.so needs czmq or sqlite3"
    fi
    # Every public function of the headers is there.
    nm -D --defined-only "$libraries"/libweir{,_main,_sqlite}.so 2>/dev/null |
        sed 's/@.*//' | awk '{print $3}' | sort >"$work/defined"
    sed -nE 's/^WEIR_API .*[ *](weir_[a-z_0-9]+)\(.*/\1/p; s/^(weir_[a-z_0-9]+)\(.*/\1/p' \
        "$prefix"/include/*.h | sort >"$work/declared"
    [ "$(wc -l <"$work/declared")" -gt 60 ] || fail "the headers' functions were not understood"
    let_out=$(comm -23 "$work/declared" "$work/defined" | tr '\n' ' ')
    [ -z "$let_out" ] || fail "declared but not there: $let_out"
}

# missing FILE KIND: one word for each thing that this library or program has not. KIND is library
# or program.
missing() {
    local segments dynamic calls
    segments=$(readelf -lW "$1")
    dynamic=$(readelf -dW "$1")
    calls=$(readelf --dyn-syms -W "$1")
    grep -q GNU_RELRO <<<"$segments" || echo relro
    grep -q 'FLAGS.*NOW' <<<"$dynamic" || echo now
    grep -Eq 'GNU_STACK.* RW ' <<<"$segments" || echo noexecstack
    ! grep -Eq 'LOAD.* RWE ' <<<"$segments" || echo write-or-execute
    ! grep -q TEXTREL <<<"$dynamic" || echo position-independent
    ! grep -Eq 'RPATH|RUNPATH' <<<"$dynamic" || [ "$2" = program ] || echo no-search-path
    grep -q ' __stack_chk_fail@' <<<"$calls" || echo stack-protector
    grep -Eq ' __[a-z]+_chk@' <<<"$calls" || echo fortify
    [ "$2" = library ] || grep -q 'FLAGS_1.*PIE' <<<"$dynamic" || echo pie
    [ "$(uname -m)" != x86_64 ] || is_marked "$1" || echo cf-protection
}

# Every function that can be called from elsewhere begins with the mark of a place to jump to.
# (The note that says so for the whole file is lost where libc's own start files have none.)
is_marked() {
    local functions
    functions=$(readelf --dyn-syms --syms -W "$1" |
        awk '$4 == "FUNC" && $5 == "GLOBAL" && $7 != "UND" &&
            $8 !~ /^_(init|fini|start)/ {print $2}' |
        sort -u)
    [ -n "$functions" ] && objdump -d --no-show-raw-insn "$1" |
        awk -v wanted="$functions" '
            BEGIN { n = split(wanted, list); for (i = 1; i <= n; i++) open[list[i]] = 1 }
            /^[0-9a-f]+ <.*>:$/ { at = ($1 in open); next }
            at { at = 0; if ($2 != "endbr64") { print "not marked: " $0; bad = 1 } }
            END { exit bad }' >/dev/null
}

# What gcc was told, as its debugging information has it: all of it for every file of ours.
was_told() { # FILE FLAG...
    local file=$1 told flag
    shift
    told=$(readelf -wi --dwarf-depth=1 "$file" | grep DW_AT_producer)
    for flag; do
        [ -z "$(grep -v -e " $flag\( \|$\)" <<<"$told")" ] || echo "$flag"
    done
}

step_hardening() {
    local file lacks
    for file in "$libraries"/libweir{,_main,_sqlite}.so "$build"/examples/* \
        "$prefix"/bin/weir; do
        [ -f "$file" ] && [ -x "$file" ] || continue
        lacks=$(missing "$file" "$(case $file in *.so) echo library ;; *) echo program ;; esac)")
        [ -z "$lacks" ] || fail "${file##*/} lacks:" $lacks
    done
    if [ "$(uname -m)" = x86_64 ]; then
        readelf -nW "$libraries/libweir.a" | grep -q 'x86 feature: IBT, SHSTK' ||
            fail "libweir.a is not marked for control-flow protection"
    fi
    if "$cc" --version | grep -qi 'free software foundation'; then
        lacks=$(was_told "$libraries/libweir.so" -fstack-protector-strong \
            -fstack-clash-protection -fno-strict-overflow -fno-delete-null-pointer-checks \
            -fno-strict-aliasing)
        [ -z "$lacks" ] || fail "libweir.so was compiled without" $lacks
    fi
    # And one that has nothing of it is noticed for each.
    printf '%s\n' '#include <stdio.h>' '#include <string.h>' 'char text[9];' \
        'int main(int n, char **v) { strcpy(text, v[n - 1]); return puts(text); }' >"$work/weak.c"
    "$cc" -O2 -g -U_FORTIFY_SOURCE -fno-stack-protector -fno-stack-clash-protection \
        -fcf-protection=none -no-pie -fno-pie -Wl,-z,norelro,-z,lazy,-z,execstack \
        "$work/weak.c" -o "$work/weak" 2>/dev/null
    lacks=$(missing "$work/weak" program | tr '\n' ' ')
    [ "${lacks% cf-protection }" = "relro now noexecstack stack-protector fortify pie" ] &&
        [ "$(uname -m)" != x86_64 -o "$lacks" != "${lacks% cf-protection }" ] ||
        fail "of a program without all of it only this is noticed: $lacks"
    ! "$cc" --version | grep -qi 'free software foundation' ||
        [ "$(was_told "$work/weak" -fstack-protector-strong)" = -fstack-protector-strong ] ||
        fail "what gcc was not told is not noticed"
}

step_headers() {
    for header in "$prefix"/include/*.h; do
        name=${header##*/}
        echo "#include <$name>" >"$work/only.c"
        cp "$work/only.c" "$work/only.cc"
        for compiler in "$cc" clang; do
            command -v "$compiler" >/dev/null || continue
            "$compiler" -std=c11 "${strict[@]}" -Wshadow -Wconversion -I "$prefix/include" \
                -fsyntax-only "$work/only.c"
        done
        for standard in c++11 c++17 c++20; do
            g++ -std=$standard "${strict[@]}" -I "$prefix/include" -fsyntax-only "$work/only.cc"
        done
    done
    # extern "C" is missed by the linker only.
    g++ -std=c++11 "${strict[@]}" -I "$prefix/include" "$here/program/hello.cc" -o "$work/hello" \
        -L "$libraries" -lweir -Wl,-rpath,"$libraries"
    "$work/hello"
}

step_cmake() {
    cp -r "$here/program/." "$work"
    cmake -S "$work" -B "$work/build" -DCMAKE_PREFIX_PATH="$prefix" -DCMAKE_C_COMPILER="$cc" \
        >"$work/log" || fail "$(cat "$work/log")"
    cmake --build "$work/build" >"$work/log" || fail "$(cat "$work/log")"
    "$work/build/hello_shared"
    "$work/build/hello_static"
    "$work/build/hello_torture" >"$work/log" || fail "$(cat "$work/log")"
    [ ! -e "$libraries/libweir_main.so" ] || "$work/build/hello_main" --help >/dev/null
    [ ! -e "$libraries/libweir_sqlite.so" ] || "$work/build/hello_sqlite" "$work/hello.db"
}

# Words of pkg-config are meant to be split.
# shellcheck disable=SC2046,SC2086
step_pkgconfig() {
    local static
    "$cc" $(pkg-config --cflags weir) "$here/program/hello.c" -o "$work/hello" \
        $(pkg-config --libs weir) -Wl,-rpath,"$libraries"
    "$work/hello"
    static=$(pkg-config --static --libs weir)
    "$cc" $(pkg-config --cflags weir) "$here/program/hello.c" -o "$work/hello_static" \
        ${static/-lweir/-l:libweir.a}
    if readelf -d "$work/hello_static" | grep -q 'NEEDED.*libweir'; then
        fail "the static program needs the shared library"
    fi
    "$work/hello_static"
    [ -e "$libraries/libweir_main.so" ] || return 0
    "$cc" $(pkg-config --cflags weir_main) "$here/program/hello_main.c" -o "$work/hello_main" \
        $(pkg-config --libs weir_main) -Wl,-rpath,"$libraries"
    "$work/hello_main" --help >/dev/null
    [ -e "$libraries/libweir_sqlite.so" ] || return 0
    "$cc" $(pkg-config --cflags weir_sqlite) "$here/program/hello_sqlite.c" \
        -o "$work/hello_sqlite" $(pkg-config --libs weir_sqlite) -Wl,-rpath,"$libraries"
    "$work/hello_sqlite" "$work/hello.db"
}

rm -rf "$work"
mkdir -p "$work"
"step_$step"

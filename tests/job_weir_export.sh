#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# `weir export`: what SQL, CSV and JSON lines say is what `weir state` and `weir inflight` say, of
# every kind and format of state; names, odd numbers and bytes; nothing that is there is replaced;
# and whatever call fails or kills it, the export is whole or not there.
#
#     tests/job_weir_export.sh BUILD_FOLDER

build=$(cd "$1" && pwd)
here=$(cd "$(dirname "$0")" && pwd)
[[ -n ${TMPDIR:-} || ! -w /dev/shm ]] || export TMPDIR=/dev/shm # hundreds of syncs
source "$here/tools/job.bash"
source "$here/tools/weir.bash"
bank=$work/bank kinds=$work/kinds

make_stores() {
    "$build/examples/bank" run --quiet --store "$bank" --interval 40ms --mode unaligned \
        --retain 1000 --set orders=1500 --set rate=6000 --set accounts=100 --set clearing=1000 \
        --set "journal=$work/journal"
    printf '%s\n' '1 plain' '2 nan' '3 inf' '18446744073709551615 0.5' \
        '9223372036854775808 {"a":[1,2]}' '6 a"b,c' '8 ' '1 again' '4 -12' '9 0x41' >"$work/text"
    printf '5 \377\376 bad\n7 nul\0in\n10 line\rend\n' >>"$work/text"
    "$build/tests/programs/kinds" run --quiet --store "$kinds" --set "input=$work/text"
    mapfile -t bank_ids < <(checkpoints "$bank")
    ((${#bank_ids[@]} > 4)) || fail "too few checkpoints"
    fullest=${bank_ids[0]} most=0
    local id records
    for id in "${bank_ids[@]}"; do
        records=$("$weir" inflight "$bank" "$id" | wc -l)
        ((records <= most)) || most=$records fullest=$id
    done
    ((most > 3)) || fail "next to nothing was in flight: a poor test"
}

# tables STORE ID: exports in each format to $work/out.FORMAT.
tables() {
    local format
    rm -rf "$work"/out.*
    for format in sqlite csv jsonl; do
        "$weir" export "$1" "$2" --to "$work/out.$format" --format "$format" --json \
            >"$work/told.$format"
        cmp "$work/told.sqlite" "$work/told.$format" || fail "$format tells other tables"
    done
    fits export "$work/told.sqlite"
    [[ -z $(find "$work" -name '*.export-*') ]] || fail "something is left beside"
}

# Each row of each table, in each format, beside what the verbs tell. What JSON has as a number,
# SQL has as the same number; what is told in hex is in _bytes.
same_everywhere() { # STORE ID
    "$weir" show "$1" "$2" --json >"$work/show.json"
    "$weir" inflight "$1" "$2" --json >"$work/inflight.json"
    : >"$work/state.json"
    local node
    for node in $(python3 -c 'import json, sys
for node in json.load(sys.stdin)["nodes"]:
    if node["states"]: print(node["node"])' <"$work/show.json"); do
        "$weir" state "$1" "$2" "$node" --json >>"$work/state.json"
    done
    python3 - "$work" <<'PYTHON' || fail "not the same in the export of $1"
import csv, json, math, pathlib, sqlite3, sys
work = pathlib.Path(sys.argv[1])
base = sqlite3.connect(work / "out.sqlite")
base.row_factory = sqlite3.Row
csv.field_size_limit(1 << 30)
show = json.loads((work / "show.json").read_text())
told = {line["table"]: line for line in map(json.loads, (work / "told.sqlite").open())}

def lines(path):
    return [json.loads(line) for line in path.open(encoding="utf-8")]

def of_sqlite(table):
    rows = []
    for row in base.execute(f'SELECT rowid, * FROM "{table}" ORDER BY rowid'):
        rows.append({name: row[name] for name in row.keys()[1:] if row[name] is not None})
    return rows

def of_csv(table):
    with (work / "out.csv" / f"{table}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))

def text_of(value):
    """As it stands in CSV."""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, float):
        return {"inf": "inf", "-inf": "-inf"}.get(str(value), value)
    return str(value)

def same_as_csv(cell, value):
    return float(cell) == value if isinstance(value, float) else cell == text_of(value)

def parts(name, value, into):
    """What a value of `weir state --json` is in columns."""
    if isinstance(value, dict) and set(value) == {"hex"}:
        into[f"{name}_bytes"] = bytes.fromhex(value["hex"])
    elif isinstance(value, dict) and name in structs:
        for member, inner in value.items():
            if inner == "nan":
                into[f"{name}_bytes"] = None
            else:
                put(into, f"{name}_{member}", inner)
    elif isinstance(value, str) and "\0" in value:
        into[f"{name}_bytes"] = value.encode()
    else:
        put(into, name, value)

def put(into, name, value):
    if value in ("inf", "-inf") and name.startswith("value_"):
        value = float(value)
    json_text = isinstance(value, (list, dict)) or name in jsons
    into[name] = json.dumps(value, separators=(",", ":"), ensure_ascii=False) \
        if json_text else value

def compare(table, due, keys):
    sql, comma = of_sqlite(table), of_csv(table)
    jsonl = lines(work / "out.jsonl" / f"{table}.jsonl")
    assert len(sql) == len(comma) == len(jsonl) == len(due) == told[table]["rows"], table
    for row, cells, line, want in zip(sql, comma, jsonl, due):
        for name, value in want.items():
            if value is None:
                assert isinstance(row[name], bytes), (table, name, row)
            elif name in jsons and isinstance(value, str) and name not in texts:
                assert json.loads(row[name]) == json.loads(value), (table, name, row)
            else:
                assert row[name] == value and type(row[name]) is type(value), (table, row, want)
        assert set(row) - set(want) <= keys, (table, row, want)
        for name, value in row.items():
            assert same_as_csv(cells[name], value), (table, name, cells[name], value)
            inner = line[name]
            if isinstance(value, bytes):
                assert bytes.fromhex(inner) == value, (table, name, line)
            elif isinstance(inner, (list, dict)) or name in jsons:
                assert json.loads(value) == inner, (table, name, line, value)
            else:
                assert inner == value or float(inner) == value, (table, name, line, value)
        assert all(cell in ("", "nan") for name, cell in cells.items() if name not in row), cells

texts = set()
jsons = set()
structs = {"key", "value"}
names = set()
for one in of_sqlite("states"):
    jsons = {"value"} if one["format"] == "json" else set()
    structs = {"value"} if one["format"].startswith("{") else set()
    entries = [line for line in lines(work / "state.json")
               if (line["node"], line["state"]) == (one["node"], one["state"])]
    due = []
    for line in entries:
        row = {}
        for name, value in line.items():
            if name not in ("node", "state"):
                parts(name, value, row)
        due.append(row)
    compare(one["table_name"], due, {"subtask"})
    assert one["entries"] == len(due), one
    names.add(one["table_name"].lower())
    if one["format"] == "{u64 opening; u64 balance}":
        total = base.execute(f'SELECT sum(value_balance) FROM "{one["table_name"]}"').fetchone()[0]
        assert total == sum(line["value"]["balance"] for line in entries) > 0
assert len(names) == sum(len(node["states"]) for node in show["nodes"])

jsons, structs = set(), {"value"}
due = []
for line in lines(work / "inflight.json"):
    row = {"from_node": line["from"], "to_node": line["to"], "place": line["where"]}
    for name in ("from_subtask", "to_subtask", "output", "input", "position"):
        row[name] = line[name]
    if line["time"] is not None:
        row["time"] = line["time"]
    parts("key", line["key"], row)
    parts("value", line["value"], row)
    due.append(row)
compare("inflight", due, set())

due = [{"node": handle["node"], "subtask": handle["subtask"], "checkpoint": handle["checkpoint"],
        "handle": handle["handle"]} for handle in show["handles"]]
compare("handles", due, set())
due = [{name: int(value) if isinstance(value, bool) else value for name, value in task.items()}
       for task in show["tasks"]]
compare("tasks", due, {"cut_cpu_ns"})
due = [{name: int(value) if isinstance(value, bool) else value for name, value in show.items()
        if not isinstance(value, list)}]
compare("checkpoint", due, set())
PYTHON
}

formats_say_the_same() {
    tables "$kinds" newest
    same_everywhere "$kinds" newest
    tables "$bank" "$fullest"
    same_everywhere "$bank" "$fullest"
    (($(sqlite3 "$work/out.sqlite" 'SELECT count(*) FROM inflight WHERE value_amount > 0') > 3)) ||
        fail "the money in flight has no columns"
    [[ $(sqlite3 "$work/out.sqlite" 'PRAGMA integrity_check') == ok ]] || fail "integrity"
}

names_are_safe() {
    tables "$kinds" newest
    sqlite3 "$work/out.sqlite" "SELECT state, table_name FROM states WHERE state LIKE 'a%b'" |
        diff - <(printf 'a-b|state_n_a_b\na_b|state_n_a_b_2\n') || fail "names that are nearly one"
    [[ -e $work/out.csv/state_n_a_b.csv && -e $work/out.csv/state_n_a_b_2.csv ]] || fail "files"
    [[ $(cat "$work/out.csv/state_n_nothing.csv") == key,key_bytes,value,value_bytes,subtask ]] ||
        fail "an empty state"
    sqlite3 "$work/out.sqlite" "SELECT typeof(key), key, typeof(value_ratio), typeof(value_bytes)
        FROM state_n_pairs WHERE key IN (2, 3, '18446744073709551615') ORDER BY key" |
        diff - <(printf '%s\n' 'integer|2|null|blob' 'integer|3|real|null' \
            'text|18446744073709551615|real|null') || fail "odd numbers"
}

nothing_is_replaced() {
    local format
    tables "$kinds" newest
    for format in sqlite csv jsonl; do
        expect 2 "out.$format: it is there already, and only --force replaces it" \
            "$weir" export "$bank" newest --to "$work/out.$format" --format "$format"
        expect 0 '^state_accounts_accounts +100$' \
            "$weir" export "$bank" newest --to "$work/out.$format/" --format "$format" --force
    done
    [[ ! -e $work/out.csv/state_n_texts.csv && -e $work/out.csv/tasks.csv ]] || fail "--force"
    echo mine >"$work/out.csv/notes"
    expect 2 'no folder with an export and nothing else' \
        "$weir" export "$bank" newest --to "$work/out.csv" --format csv --force
    [[ $(cat "$work/out.csv/notes") == mine && -e $work/out.csv/tasks.csv ]] || fail "it is gone"
    expect 2 'no folder with an export' \
        "$weir" export "$bank" newest --to "$work/out.sqlite" --format csv --force
    expect 2 'it is no file' "$weir" export "$bank" newest --to "$work/out.csv" --format sqlite \
        --force
    touch "$work/out.sqlite-wal"
    expect 2 'its journal is there' \
        "$weir" export "$bank" newest --to "$work/out.sqlite" --format sqlite --force
    expect 3 'nowhere' "$weir" export "$bank" newest --to "$work/nowhere/x" --format csv
    expect 2 'needs --to PATH and --format' "$weir" export "$bank" newest --to "$work/x"
    expect 2 "sqlite, csv or jsonl, not 'xml'" \
        "$weir" export "$bank" newest --to "$work/x" --format xml
    expect 2 '--to is empty' "$weir" export "$bank" newest --to '' --format csv
    expect 2 "'u63' is no format" \
        "$weir" export "$bank" newest --to "$work/x" --format csv --key-format u63
    expect 3 'there is no such checkpoint' "$weir" export "$bank" 4711 --to "$work/x" --format csv
    [[ ! -e $work/x ]] || fail "something was made"
    [[ -z $(find "$work" -name '*.export-*') ]] || fail "something is left beside"
}

# refused_whole PATTERN EXPORT_OPTION...: refused, and the files below $work/precious, and the store
# of the bank, are as they were.
refused_whole() {
    local pattern=$1
    shift
    find "$work/precious" "$bank" -type f -print0 | sort -z | xargs -0 md5sum >"$work/before.sums"
    expect 2 "$pattern" "$weir" export "$bank" newest "$@" </dev/null
    find "$work/precious" "$bank" -type f -print0 | sort -z | xargs -0 md5sum |
        cmp "$work/before.sums" - || fail "something was changed: $*"
}

# --force replaces an export, and nothing else that is a file or a folder.
only_exports_are_replaced() {
    local format name file files place no='no database that an export made'
    mkdir -p "$work/precious/csv" "$work/precious/odd"
    echo 'my notes' >"$work/precious/text"
    : >"$work/precious/empty"
    sqlite3 "$work/precious/other" 'CREATE TABLE checkpoint (a); CREATE TABLE tasks (a);
        CREATE TABLE states (a)'
    sqlite3 "$work/precious/later" 'PRAGMA application_id = 2003134834; PRAGMA user_version = 2;
        CREATE TABLE states (a)'
    echo a >"$work/precious/csv/prices.csv"
    echo a >"$work/precious/odd/states.txt"
    for name in text empty other later; do
        refused_whole "$name: it is $no" --to "$work/precious/$name" --format sqlite --force
    done
    for name in csv odd; do
        refused_whole 'no folder with an export' --to "$work/precious/$name" --format csv --force
    done
    mapfile -t files < <(find "$bank" -name LOCK -o -name 'MANIFEST*' -o -name '*.seg')
    ((${#files[@]} > 4)) || fail "too few files in the store: a poor test"
    "$weir" copy "$bank" newest "$work/precious/saved" >/dev/null
    ln -s "$bank/data" "$work/precious/link"
    for format in sqlite csv jsonl; do
        for file in "${files[0]}" "${files[1]}" "${files[-1]}"; do
            refused_whole 'lies inside the store' --to "$file" --format "$format" --force
        done
        for place in "$bank/new" "$bank/data/new" "$work/precious/link/new"; do
            refused_whole 'lies inside the store' --to "$place" --format "$format"
        done
        refused_whole 'lies inside the savepoint' --to "$work/precious/saved/new" \
            --format "$format" --force
        [[ -z $(find "$bank" "$work/precious" -name '*.export-*') ]] || fail "left: $format"
    done
    tables "$kinds" newest
    expect 0 '^states ' "$weir" export "$bank" newest --to "$work/out.sqlite" --format sqlite \
        --force
    [[ $(sqlite3 "$work/out.sqlite" 'PRAGMA application_id; PRAGMA user_version' | xargs) == \
        '2003134834 1' ]] || fail "an export has no mark"
}

# A damaged store gives no part of an export.
damage_gives_nothing() {
    local format
    cp -r "$bank" "$work/damaged"
    truncate -s 65 "$work"/damaged/data/* # whatever the export needs of them
    for format in sqlite csv jsonl; do
        expect 3 'data/[0-9-]+\.seg' \
            "$weir" export "$work/damaged" newest --to "$work/never" --format "$format"
    done
    [[ -z $(find "$work" -name 'never*') ]] || fail "something was made"
}

# Stopped by the shim at a read, when its folder is there; then the signal comes.
signals_leave_nothing() {
    cat >"$work/told_to_end.py" <<'PYTHON'
import os, pathlib, signal, subprocess, sys

shim, number, folder = sys.argv[1], getattr(signal, sys.argv[2]), pathlib.Path(sys.argv[3])
for at in range(1, 200):
    settings = {"LD_PRELOAD": shim, "WEIR_FAULT": "stop", "WEIR_FAULT_AT": str(at),
                "WEIR_FAULT_ONLY": "pread"}
    child = subprocess.Popen(sys.argv[4:], env=dict(os.environ, **settings))
    status = os.waitpid(child.pid, os.WUNTRACED)[1]
    assert os.WIFSTOPPED(status), f"it was never stopped with its folder there: {status}"
    begun = list(folder.glob("*.export-*"))
    if begun:
        os.kill(child.pid, number)
    os.kill(child.pid, signal.SIGCONT)
    status = os.waitpid(child.pid, 0)[1]
    if begun:
        break
    for path in folder.iterdir():
        subprocess.run(["rm", "-r", path], check=True)
else:
    sys.exit("no read comes behind the folder: a poor test")
assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == number, status
left = list(folder.iterdir())
assert not left, left
PYTHON
    local format number
    for format in sqlite csv jsonl; do
        for number in SIGINT SIGTERM; do
            mkdir "$work/told-to-end"
            python3 "$work/told_to_end.py" "$build/tests/fault.so" "$number" "$work/told-to-end" \
                "$weir" export "$bank" "$fullest" --to "$work/told-to-end/out" \
                --format "$format" >"$work/said.log" 2>&1 ||
                fail "$number, $format: $(tail -n 3 "$work/said.log")"
            grep -q 'a signal has ended the export' "$work/said.log" || fail "$number is not told"
            rmdir "$work/told-to-end"
        done
    done
}

# broken FORMAT MODE AT [SETTING...]: one run with call AT broken; false: nothing fired.
broken() {
    local format=$1 mode=$2 at=$3
    shift 3
    rm -f "$work/fault.log"
    code_of env LD_PRELOAD="$build/tests/fault.so" WEIR_FAULT="$mode" WEIR_FAULT_AT="$at" \
        WEIR_FAULT_LOG="$work/fault.log" "$@" "$weir" export "$kinds" newest \
        --to "$work/swept/out" --format "$format" >"$work/said.log" 2>&1
    grep -q '^fired' "$work/fault.log"
}

each_call_broken() {
    local format mode at count=0 due only
    tables "$kinds" newest
    due=$(wc -l <"$work/told.sqlite")
    for format in sqlite jsonl; do
        for mode in kill fail; do # what dies in a read has changed nothing
            only=openat,fsync,renameat2,unlinkat
            [[ $mode == kill ]] || only=$only,close,fstat,fstatat,fcntl,readdir
            for ((at = 1; ; at++)); do
                mkdir "$work/swept"
                broken "$format" "$mode" "$at" "WEIR_FAULT_ONLY=$only" || break
                count=$((count + 1))
                if [[ -e $work/swept/out ]]; then
                    if [[ $format == sqlite ]]; then
                        [[ $(sqlite3 "$work/swept/out" 'SELECT count(*) FROM states') == 9 ]]
                    else
                        (($(find "$work/swept/out" -type f | wc -l) == due))
                    fi || fail "$mode at call $at of $format: a part is there"
                    ((code != 0)) || [[ $mode == fail ]] || fail "$mode at call $at: exit 0"
                else
                    ((code != 0)) || fail "$mode at call $at of $format: exit 0, and nothing"
                fi
                [[ $mode == kill || -z $(find "$work/swept" -name '*.export-*') ]] ||
                    fail "$mode at call $at of $format: something is left beside"
                rm -r "$work/swept"
            done
            [[ -e $work/swept/out ]] || fail "unharmed, it makes nothing: $(cat "$work/said.log")"
            rm -r "$work/swept"
        done
        mkdir "$work/swept"
        broken "$format" fail 1000000 WEIR_FAULT_OLD_RENAME=1 || true
        ((code == 0)) && [[ -e $work/swept/out ]] ||
            fail "an old file system: $(cat "$work/said.log")"
        expect 0 '^states ' env LD_PRELOAD="$build/tests/fault.so" WEIR_FAULT_OLD_RENAME=1 "$weir" \
            export "$kinds" newest --to "$work/swept/out" --format "$format" --force
        [[ $(ls -A "$work/swept") == out ]] || fail "an old file system: something is left"
        rm -r "$work/swept"
    done
    ((count > 100)) || fail "only $count calls were broken"
}

echo "seed $seed"
command -v sqlite3 >/dev/null && "$weir" export --help >/dev/null || exit 77
make_stores
try_properties formats_say_the_same names_are_safe nothing_is_replaced only_exports_are_replaced \
    damage_gives_nothing signals_leave_nothing each_call_broken

# SPDX-License-Identifier: MIT
"""Runs and comparisons as Markdown and as text: what `heddle export` and --markdown write."""

import json
import os
import re
import unicodedata

from harness import check, check_eq, check_in, test
from test_compare import around, result, write_run

DATA = os.path.join(os.path.dirname(os.path.abspath(__file__)), "data")
WIDE = "\u540d\u524d"  # two characters, four columns
COMBINED = "cafe\u0301s"  # six characters, five columns


def cells_of(line):
    """The cells of a row of GitHub's tables: a bar ends one, but behind a backslash."""
    return [c.strip() for c in re.split(r"(?<!\\)\|", line.strip())[1:-1]]


def tables_of(text):
    """Lists of rows, of which the first is the header. Each row has as many cells as that."""
    tables, rows = [], []
    for line in text.splitlines() + [""]:
        if line.startswith("|"):
            rows.append(cells_of(line))
            check_eq(len(rows[-1]), len(rows[0]), line)
        elif rows:
            check(all(re.match("^:?--+:?$", c) for c in rows[1]), "no table: %r" % rows[:2])
            tables.append([rows[0]] + rows[2:])
            rows = []
    return tables


def runs(place, label, names=("a|b", "c`d"), seconds=(0.010, 0.020)):
    """A run of commands, made up: ten processes each."""
    file = {"results": [{"command": name, "times": [s * (1 + 0.001 * i) for i in range(10)],
                         "exit_codes": [0] * 10} for name, s in zip(names, seconds)]}
    path = place.write(label + ".json", json.dumps(file))
    r = place.run("import", path, "--label", label)
    check_eq(r.status, 0, repr(r))


@test
def a_run_of_commands_is_a_table_in_markdown(place):
    r = place.run("run", "-r", "10", "-n", "a|b", "-n", "c`d *e*", "--label", "first_one",
                  "--markdown", "out.md", "--", "true", "--vs", "sleep", "0.2")
    check_eq(r.status, 0, repr(r))
    with open(place.path("out.md"), encoding="utf-8") as f:
        text = f.read()
    exported = place.run("export", "first_one", "-f", "markdown")
    check_eq(exported.status, 0, repr(exported))
    check_eq(exported.out, text, "the report and the kept run")
    check_eq(text.splitlines()[0], "### first_one")
    times, rest = tables_of(text)
    check_eq(times[0], ["Command", "Time", "95 % interval", "Min", "Max", "Runs", "Ratio",
                        "Verdict"])
    check_eq([row[0] for row in times[1:]], ["`a\\|b`", "`` c`d *e* ``"])
    check_eq([row[5] for row in times[1:]], ["10", "10"])
    check_eq(times[2][7], "slower")
    check_in("system", rest[0])
    check_eq(text.count("<details>"), text.count("</details>"))
    check_in("`` heddle run ", text)
    check_in("-n 'a|b'", text, "no backslash outside of tables")


@test
def experiments_are_tables_in_markdown(place):
    place.subject("pthread", {"switch": "sample yield_ns ns 100", "spawn": "!exit 9"})
    place.subject("heddle")
    r = place.lab("switch", "spawn", "--markdown", "-")
    check_eq(r.status, 3, repr(r))
    tables = tables_of(r.out)
    check_in("#### switch", r.out)
    check_eq(tables[0][0][-5:], ["95 % interval", "Min", "Max", "Processes", "x pthread"])
    at = tables[0][0].index("Subject")
    by = {row[at]: row for row in tables[0][1:]}
    check_eq((by["`pthread`"][-2:], by["`heddle`"][-2:]), (["3", "1.00x"], ["3", "0.300x"]))
    check_in("Not measured:", r.out)
    check(re.search("- `pthread` in spawn.*status 9", r.out), r.out)


@test
def a_comparison_is_a_table_in_markdown(place):
    runs(place, "old")
    runs(place, "new", seconds=(0.010, 0.030))
    r = place.run("compare", "old", "new", "--markdown", "-")
    check_eq(r.status, 0, repr(r))
    (table,) = tables_of(r.out)
    check_eq(table[0], ["What", "Subject", "A", "B", "Ratio", "95 % interval", "Shift", "p",
                        "Verdict"])
    check_eq([(row[1], row[4], row[8]) for row in table[1:]],
             [("`a\\|b`", "1.000", "same"), ("`` c`d ``", "1.500", "**slower**")])
    check_in("2 compared: 0 better, 1 worse, 1 the same", r.out)
    check_in("A: old, which is run 1", r.out)
    check_eq(r.out.splitlines()[0], "### new compared with old")
    place.run("history", "old", "--set-baseline", "main")
    gate = place.run("gate", "-b", "main", "new", "--markdown", "gate.md")
    check_eq(gate.status, 1, repr(gate))
    with open(place.path("gate.md"), encoding="utf-8") as f:
        check_in("**slower**", f.read())


@test
def markdown_survives_hostile_names(place):
    names = ("x</details>\n| y |", "\x1b[31m\\|`", "``", " ", "\u202egnp")
    runs(place, "bad", names=names, seconds=(0.01,) * 5)
    for lang in ("C", "C.UTF-8"):
        r = place.run("export", "bad", "-f", "markdown", env={"LC_ALL": lang})
        check_eq(r.status, 0, repr(r))
        table = tables_of(r.out)[0]
        check_eq(len(table), 6, r.out)
        check("\x1b" not in r.out and "\u202e" not in r.out, r.out)
    runs(place, "wide", names=(WIDE,), seconds=(0.01,))
    check_in(WIDE, place.run("export", "wide", "-f", "markdown", env={"LC_ALL": "C"}).out)


@test
def text_of_a_kept_run_is_what_its_command_printed(place):
    r = place.run("run", "-r", "5", "--label", "x", "-i", "true", "false")
    check_eq(r.status, 0, repr(r))
    check_eq(place.run("export", "x", "-f", "text").out, r.out)
    place.subject("heddle")
    r = place.lab("switch", "--label", "y")
    check_eq(r.status, 0, repr(r))
    check_eq(place.run("export", "y", "-f", "text").out, r.out)
    for name in ("pyperf.json", "gbench.json", "hyperfine.json"):
        for format in ("text", "markdown"):
            r = place.run("export", os.path.join(DATA, name), "-f", format)
            check_eq(r.status, 0, repr(r))
            check(tables_of(r.out) if format == "markdown" else "95 % interval" in r.out, r.out)


# ---- names of other scripts ----

def columns(text):
    return sum(0 if unicodedata.combining(c) else 1 + (unicodedata.east_asian_width(c) in "WF")
               for c in text)


def run_of(place, names, **more):
    return write_run(place, "run.json", [result(name, [10.0 * i] * 3, **more)
                                         for i, name in enumerate(names, 1)])


def rows_of(text):
    return [line for line in text.splitlines() if re.search(r"\d0\.0 ns", line)]


@test
def names_of_other_scripts_are_padded_by_columns(place):
    path = run_of(place, ["plain", WIDE, COMBINED, WIDE * 3, WIDE * 5], metric=WIDE)
    r = place.run("export", path, "-f", "text", env={"LC_ALL": "C.UTF-8"})
    check_eq(r.status, 0, repr(r))
    rows = rows_of(r.out)
    check_eq(len(rows), 5, r.out)
    header = [line for line in r.out.splitlines() if "95 % interval" in line][0]
    end = columns(header[:header.index("median") + len("median")])
    for row in rows:
        check_eq(columns(row[:re.search(r"\d0\.0 ns", row).end()]), end, row)
    check_in("  " + WIDE, header)
    check_in("  " + WIDE * 3 + " ", rows[3])
    check_in("  " + WIDE * 3 + WIDE[0] + "~ ", rows[4], "cut between characters")
    # Where the terminal is none of UTF-8 a character is a '?'.
    plain = rows_of(place.run("export", path, "-f", "text", env={"LC_ALL": "C"}).out)
    check_in("  ?? ", plain[1])
    check_eq(len(set(row.index(" ns") for row in plain)), 1, "\n".join(plain))


@test
def comparisons_and_medians_are_padded_by_columns(place):
    names = [WIDE, COMBINED, "plain"]
    first = [result(name, around(100), metric=m, primary=m == "yield_ns")
             for m in ("yield_ns", WIDE) for name in names]
    path = write_run(place, "run.json", first)
    utf8 = {"LC_ALL": "C.UTF-8"}
    r = place.run("compare", path, path, env=utf8)
    rows = [line for line in r.out.splitlines() if line.endswith("same")]
    check_eq(len(rows), 6, repr(r))
    check_eq(len(set(columns(row) for row in rows)), 1, r.out)
    text = place.run("export", path, "-f", "text", env=utf8).out
    lines = text[text.index("medians"):].splitlines()[:4]
    check_eq(len(set(columns(line) for line in lines[1:])), 1, text)
    check_eq(columns("  " + lines[0]), columns(lines[1]), text)
    check(lines[0].endswith(WIDE), text)

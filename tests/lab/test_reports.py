# SPDX-License-Identifier: MIT
"""The table, CSV and JSON."""

import csv
import fcntl
import io
import json
import os
import pty
import select
import stat
import struct
import subprocess
import termios
import time

import harness
from harness import ANSWERS, check, check_eq, check_in, test

COLUMNS = ("experiment,subject,metric,unit,params,n,median,min,max,ci95_low,ci95_high,samples,"
           "variant,better,bare_ratio").split(",")


def on_terminal(place, args, env=None, stderr_only=False, status=0):
    """Runs the command with a terminal of 80 columns; what it wrote there."""
    try:
        master, slave = pty.openpty()
    except OSError as e:
        raise harness.Skip("no terminal can be had here: %s" % e)
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    out = subprocess.DEVNULL if stderr_only else slave
    p = subprocess.Popen([harness.HEDDLE] + args, cwd=place.root, env=dict(place.env, **env or {}),
                         stdin=slave, stdout=out, stderr=slave)
    os.close(slave)
    text, end = b"", time.time() + 30
    while time.time() < end:
        if not select.select([master], [], [], 0.2)[0]:
            continue
        try:
            piece = os.read(master, 65536)
        except OSError:
            break
        if not piece:
            break
        text += piece
    os.close(master)
    check_eq(p.wait(10), status, text.decode("utf-8", "replace"))
    return text.decode("utf-8", "replace")


@test
def a_terminal_is_told_of_a_failure_once(place):
    args = ["run", "--no-store", "-r", "1", "no-such-program"]
    whole = on_terminal(place, args, status=3)
    check_eq(whole.count("cannot be started"), 1, whole)
    check("heddle: no-such-program" not in whole, whole)
    check_in("Nothing was measured", whole)
    for more in ({"stderr_only": True}, {"args": args + ["--csv", "-"]}):
        text = on_terminal(place, more.pop("args", args), status=3, **more)
        check_eq(text.count("heddle: no-such-program: cannot be started"), 1, text)


@test
def the_table_is_narrow_whatever_the_numbers(place):
    place.subject("heddle")
    for value in ("0", "1e-7", "0.000123456", "9.9996", "99.96", "999.6", "12345", "999999",
                  "123456789.5", "1e15", "1e300", "4e-320"):
        answers = {e: a.replace(" 30", " " + value) for e, a in ANSWERS.items()}
        for e, m, u in (("lifecycle", "total_ms", "ms"), ("spawn", "single_ns", "ns"),
                        ("capacity", "bytes_per_thread", "bytes"), ("idle", "new_rate", "per_s"),
                        ("forkjoin", "steals", "count")):
            answers[e] += "\\nsample %s %s %s" % (m, u, value)
        place.subject("a-very-long-name-of-24ch", answers)
        place.subject("pthread", answers)
        r = place.lab("--full", "--repeat", "3")
        check_eq(r.status, 0, repr(r))
        for line in r.out.splitlines():
            check(len(line) <= 80, "%s: %r" % (value, line))
            check(line == line.rstrip(), "blanks at the end: %r" % line)


@test
def the_table_says_what_was_measured(place):
    place.subject("heddle")
    place.subject("pthread", {"switch": "sample yield_ns ns 1500"})
    r = place.lab("switch")
    check_eq(r.status, 0, repr(r))
    check_in("switch: What does a switch from one thread to another cost?", r.out)
    check_in("workers 1, threads 2; 3 processes each", r.out)
    rows = {line.split()[0]: line.split() for line in r.out.splitlines() if line.strip()}
    check_eq(rows["heddle"], "heddle 30.0 ns 30.0-30.0 ns 30.0 ns 30.0 ns 10.0x 1/50.0".split())
    check_eq(rows["pthread"][1:3] + rows["pthread"][-2:], ["1.50", "us", "500x", "1.00x"])
    check_eq(rows["bare"][2:4], ["3.00", "ns"])


@test
def no_ratio_is_formed_from_different_work(place):
    place.subject("heddle", {"capacity": ANSWERS["capacity"]})
    place.subject("pthread", {"capacity": ANSWERS["capacity"]})
    r = place.lab("capacity")
    rows = [line.split() for line in r.out.splitlines() if line.startswith("  heddle ")]
    check_eq(rows[0][-1], "ms", "a ratio of 100,000 threads to 10,000")
    check_in("Not the same work:\n  pthread         threads 10000\n", r.out)
    r = place.lab("capacity", "--threads", "700")
    rows = [line.split() for line in r.out.splitlines() if line.startswith("  heddle ")]
    check_eq(rows[0][-1], "1.00x")


@test
def no_colour_in_a_pipe_and_colour_on_a_terminal(place):
    place.subject("heddle")
    check("\033" not in place.lab("switch").out)
    args = ["lab", "switch", "--subject", "heddle", "--repeat", "2"]
    check_in("\033[1m", on_terminal(place, args))
    check("\033" not in on_terminal(place, args, {"NO_COLOR": "1"}))
    check("\033" not in on_terminal(place, args, {"TERM": "dumb"}))
    check_in("\033[1m", on_terminal(place, args, {"NO_COLOR": ""}))


@test
def progress_is_rewritten_in_place_on_a_terminal(place):
    place.subject("heddle", {"lifecycle": "!sleep 0.7; echo sample total_ms ms 5"})
    args = ["lab", "lifecycle", "--subject", "heddle", "--repeat", "5"]
    text = on_terminal(place, args, stderr_only=True)
    check_in("\rround ", text)
    check(text.endswith("\r\033[K"), "the line was left: %r" % text)
    check("\n" not in text, repr(text))
    for line in text.replace("\033[K", "").split("\r"):
        check(len(line) < 80, repr(line))
    check_eq(on_terminal(place, args + ["--quiet"], stderr_only=True), "")


@test
def progress_is_plain_elsewhere_and_absent_when_short(place):
    place.subject("heddle", {"lifecycle": "!sleep 0.7; echo sample total_ms ms 5"})
    r = place.lab("lifecycle", "--repeat", "5")
    check_in("heddle: round ", r.err)
    check("\033" not in r.err and "\r" not in r.err)
    check_eq(len(r.err.splitlines()), 1)
    check_eq(place.lab("lifecycle", "--repeat", "1").err, "")


def check_number(x, what):
    check(isinstance(x, (int, float)) and not isinstance(x, bool), "%s: %r" % (what, x))


@test
def json_keeps_to_the_schema(place):
    place.subject("heddle")
    place.subject("pthread")
    r, run = place.lab_json("--full", "--repeat", "3")
    check_eq(r.status, 0, repr(r))
    check_eq(run["schema"], 1)
    for key in ("cpus", "memory_bytes", "load_1min", "seed"):
        check_number(run["machine"][key], key)
    for key in ("cpu", "kernel", "glibc", "compiler", "date", "heddle", "arch"):
        check(isinstance(run["machine"][key], str) and run["machine"][key], key)
    check(len(run["results"]) > 20)
    seen = set()
    for x in run["results"]:
        for key in ("experiment", "subject", "metric", "unit", "variant"):
            check(isinstance(x[key], str), key)
        check(isinstance(x["params"], dict) and x["params"])
        check_eq((x["n"], len(x["samples"]), len(x["processes"])), (3, 3, 3))
        for key in ("median", "min", "max"):
            check_number(x[key], key)
        low, high = x["ci95"]
        check(x["min"] <= x["median"] <= x["max"] and low <= x["median"] <= high, repr(x))
        check(x["better"] in ("lower", "higher", None))
        seen.add((x["experiment"], x["variant"], x["subject"], x["metric"]))
    check_eq(len(seen), len(run["results"]), "a result occurs twice")
    check_eq([x["name"] for x in run["subjects"]], ["heddle", "pthread"])
    check_eq(run["failures"], [])
    check_in({"experiment": "switch", "subject": "heddle", "key": "guard", "text": "none"},
             run["notes"])


@test
def json_is_valid_whatever_subjects_say(place):
    notes = ['quote " backslash \\ slash /', "tab\there", "caf\u00e9", "escape \033[31m"]
    body = "\n".join("note k " + n for n in notes).encode() + b"\nnote k bad \xff\xc0\n"
    place.write("said", body)
    place.subject("heddle", {"switch": "!cat said; echo sample yield_ns ns 5"})
    r, run = place.lab_json("switch")
    check_eq(r.status, 0, repr(r))
    texts = [x["text"] for x in run["notes"]]
    check_eq(texts[0], notes[0])
    check_eq(texts[1], "tab here")
    check_eq(texts[2:], ["caf?", "escape ?[31m", "bad ??"])


@test
def csv_has_one_row_a_metric(place):
    place.subject("heddle")
    place.subject("pthread")
    r = place.lab("switch", "lifecycle", "--csv", "-", "--json", "out.json")
    check_eq(r.status, 0, repr(r))
    raw = place.run("lab", "switch", "--subject", "heddle", "--csv", "-", "--repeat", "1").out
    check(raw.count("\r\n") == raw.count("\n") > 1, "lines must end as RFC 4180 says")
    rows = list(csv.DictReader(io.StringIO(r.out, newline=""), strict=True))
    check_eq(list(rows[0]), COLUMNS)
    with open(place.path("out.json")) as f:
        results = json.load(f)["results"]
    check_eq(len(rows), len(results))
    for row, x in zip(rows, results):
        check(None not in row and None not in row.values(), "a row has another width")
        for key in ("experiment", "subject", "metric", "unit", "variant"):
            check_eq(row[key], x[key])
        check_eq(int(row["n"]), x["n"])
        for key in ("median", "min", "max"):
            check_eq(float(row[key]), x[key])
        check_eq([float(row["ci95_low"]), float(row["ci95_high"])], x["ci95"])
        check_eq([float(s) for s in row["samples"].split(";")], x["samples"])
        params = dict(p.split("=") for p in row["params"].split(";"))
        check_eq(params, {k: str(v) for k, v in x["params"].items()})


@test
def nothing_else_goes_to_a_taken_standard_output(place):
    place.subject("heddle")
    place.subject("bad", {"switch": "nonsense"})
    r = place.lab("switch", "--json", "-", "--csv", "out.csv")
    check_eq(r.status, 3)
    json.loads(r.out)
    r = place.lab("switch", "--csv", "-")
    check(r.out.startswith("experiment,subject,"), r.out)
    check_eq(len(list(csv.reader(io.StringIO(r.out)))), 3)  # header, heddle; bad's is on record
    check_in("garbage", r.err)


@test
def a_report_replaces_the_old_one_as_a_whole(place):
    place.subject("heddle")
    place.write("real.json", "old", 0o640)
    os.symlink("real.json", place.path("link.json"))
    r = place.lab("switch", "--json", "link.json", "--csv", "new.csv")
    check_eq(r.status, 0, repr(r))
    check(os.path.islink(place.path("link.json")), "the link was replaced")
    with open(place.path("real.json")) as f:
        json.load(f)
    check_eq(stat.S_IMODE(os.stat(place.path("real.json")).st_mode), 0o640)
    mask = os.umask(0)
    os.umask(mask)
    check_eq(stat.S_IMODE(os.stat(place.path("new.csv")).st_mode), 0o666 & ~mask)
    check_eq([n for n in os.listdir(place.root) if n.count(".") > 1], [], "temporary files left")


@test
def a_report_may_go_to_a_pipe(place):
    place.subject("heddle")
    os.mkfifo(place.path("fifo"))
    reader = subprocess.Popen(["cat", place.path("fifo")], stdout=subprocess.PIPE)
    r = place.lab("switch", "--json", "fifo")
    check_eq(r.status, 0, repr(r))
    json.loads(reader.communicate(timeout=10)[0].decode())
    check(stat.S_ISFIFO(os.stat(place.path("fifo")).st_mode))


@test
def html_is_one_whole_page(place):
    place.subject("heddle")
    place.subject("pthread")
    r = place.lab("switch", "lifecycle", "--html", "page.html")
    check_eq(r.status, 0, repr(r))
    with open(place.path("page.html"), encoding="utf-8") as f:
        page = f.read()
    check(page.lower().startswith("<!doctype html>"), page[:100])
    check(page.rstrip().endswith("</html>"), page[-100:])
    for loads in (' src="http', " src='http", "<link rel=\"stylesheet", "@import"):
        check(loads not in page, "it loads something: %s" % loads)
    check_eq(place.lab("switch", "--html", "-").out[:15].lower(), "<!doctype html>")

# SPDX-License-Identifier: MIT
"""heddle compare and heddle gate: which runs, which results, verdicts, exit statuses."""

import csv
import io
import json
import random
import subprocess
import time

from harness import Skip, alone, check, check_eq, check_in, test


def result(subject, values, metric="yield_ns", experiment="switch", **more):
    """One result as heddle's JSON has it, with one sample a process."""
    values = list(values)
    ordered = sorted(values)
    made = {
        "experiment": experiment, "variant": "", "subject": subject, "metric": metric,
        "unit": "ns", "better": "lower", "params": {}, "n": len(values),
        "median": ordered[len(ordered) // 2], "min": ordered[0], "max": ordered[-1],
        "ci95": [None, None], "bare_ratio": None, "primary": True, "per_thing": True,
        "samples": values, "processes": [[v] for v in values]}
    made.update(more)
    return made


def around(value, seed=1, n=12, spread=0.002):
    """n process values around a value."""
    numbers = random.Random(seed)
    return [value * (1 + numbers.gauss(0, spread)) for _ in range(n)]


def write_run(place, name, results, **more):
    names = sorted(set(r["subject"] for r in results))
    run = {"schema": 1, "mode": "default", "interrupted": False, "out_of_time": False,
           "machine": {"cpu": "made up", "kernel": "Linux 6"},
           "subjects": [{"name": n, "kind": "native", "version": "", "free_threaded": False,
                         "path": "/" + n} for n in names],
           "results": results, "failures": [], "notes": []}
    run.update(more)
    return place.write(name, json.dumps(run))


def compare(place, *args):
    return place.run("compare", "--db", place.path("db"), *args)


def compare_json(place, *args):
    r = compare(place, "--json", "-", *args)
    try:
        return r, json.loads(r.out)
    except ValueError as e:
        raise AssertionError("not JSON: %s\n%r" % (e, r))


def verdicts(data):
    return [(c["subject"], c["metric"], c["verdict"]) for c in data["comparisons"]]


def measure(place, *args):
    """A run of commands, kept; its number."""
    r = place.run("run", "--quiet", "--db", place.path("db"), "-r", "6", *args)
    check_eq(r.status, 0, repr(r))
    line = [x for x in r.out.splitlines() if x.startswith("Kept as run ")][0]
    return line[len("Kept as run "):].rstrip(".")


@test
def files_are_compared_metric_by_metric(place):
    write_run(place, "a.json", [result("x", around(100, 1)), result("y", around(50, 2)),
                                result("z", around(10, 3)), result("w", around(10, 3, 4, 0.3))])
    write_run(place, "b.json", [result("z", around(10, 4)), result("x", around(110, 5)),
                                result("y", around(40, 6)), result("w", around(10, 7, 4, 0.3))])
    r, data = compare_json(place, "a.json", "b.json")
    check_eq(r.status, 0, repr(r))
    check_eq(verdicts(data), [("x", "yield_ns", "slower"), ("y", "yield_ns", "faster"),
                              ("z", "yield_ns", "same"), ("w", "yield_ns", "undecided")])
    x = data["comparisons"][0]
    check(1.09 < x["ratio"] < 1.11, x)
    check(x["ratio95"][0] < x["ratio"] < x["ratio95"][1], x)
    check(9 < x["shift"] < 11 and x["shift95"][0] < x["shift"] < x["shift95"][1], x)
    check(x["p_welch"] <= x["p_adjusted"] < 0.001, x)
    check_eq(x["more"], 0)
    check(data["comparisons"][3]["more"] > 4, data["comparisons"][3])
    r = compare(place, "a.json", "b.json")
    check_eq(r.status, 0, repr(r))
    for line in r.out.splitlines():
        check(len(line) < 80, "too wide: %r" % line)
    for part in ("slower", "faster", "same", "undecided", "1.10", "4 compared: 1 better, 1 worse"):
        check_in(part, r.out)


@test
def two_values_a_side_fail_no_gate(place):
    """However equal they are, as in a file of hyperfine with coarse times."""
    for name, value in (("a.json", 1.0), ("b.json", 2.0)):
        place.write(name, json.dumps({"results": [
            {"command": "x", "mean": value, "times": [value, value]}]}))
    r, data = compare_json(place, "a.json", "b.json")
    check_eq([c["verdict"] for c in data["comparisons"]], ["undecided"] * len(data["comparisons"]))
    wall = [c for c in data["comparisons"] if c["metric"] == "wall_s"][0]
    check_eq((wall["p_adjusted"], wall["more"], wall["ratio"]), (None, 0, 2.0))
    r = place.run("import", "--db", place.path("db"), "a.json")
    check_eq(r.status, 0, repr(r))
    r = place.run("gate", "--db", place.path("db"), "--baseline", "x", "--set", "last")
    check_eq(r.status, 0, repr(r))
    r = place.run("gate", "--db", place.path("db"), "--baseline", "x", "b.json")
    check_eq(r.status, 0, repr(r))
    check_in("undecided", r.out)


@test
def memory_below_the_bound_has_no_verdict(place):
    """A note says that a command's memory is that of the helper at most."""
    kinds = {"metric": "max_rss_bytes", "unit": "bytes", "experiment": "run"}
    note = {"experiment": "run", "subject": "x", "key": "max-rss", "text": "at most 1.5 MB"}
    write_run(place, "low.json", [result("x", around(1.5e6, 1), **kinds)], notes=[note])
    write_run(place, "other.json", [result("x", around(1.4e6, 2), **kinds)], notes=[note])
    write_run(place, "less.json", [result("x", around(1.3e6, 3), **kinds)])
    write_run(place, "like.json", [result("x", around(1.5e6, 4), **kinds)])
    write_run(place, "more.json", [result("x", around(3e6, 5), **kinds)])
    for a, b, verdict in (("low", "other", "undecided"), ("low", "less", "undecided"),
                          ("less", "low", "undecided"), ("low", "like", "undecided"),
                          ("low", "more", "slower"), ("more", "low", "faster"),
                          ("less", "like", "slower"), ("low", "low", "undecided")):
        r, data = compare_json(place, a + ".json", b + ".json")
        check_eq(verdicts(data)[0][2], verdict, "%s beside %s" % (b, a))
        check_eq(data["comparisons"][0]["more"], 0)
    out = " ".join(compare(place, "low.json", "other.json").out.split())
    check_in("max RSS that is known as an upper bound", out)


@test
def what_would_decide_is_said_of_a_metric(place):
    noisy = [result("x", around(100, 1, 4, 0.3)), result("x", around(100, 3, 4, 0.3), "odd_ns")]
    other = [result("x", around(100, 7, 4, 0.3)), result("x", around(100, 9, 4, 0.01), "odd_ns")]

    def told(a, b):
        write_run(place, "a.json", a, uid="one")
        write_run(place, "b.json", b, uid="two")
        return " ".join(compare(place, "a.json", "b.json").out.split())

    def more():
        r, data = compare_json(place, "a.json", "b.json")
        return [c["more"] for c in data["comparisons"]]

    out = told(noisy[1:], other[1:])
    check_in("For odd_ns, about %d processes a side would tell." % more()[0], out)
    out = told(noisy, other)
    check_in("(odd_ns)", out)
    for number in more():
        check_in(" %d (" % number, out)
    out = told([result("x", [1.0])], [result("x", [2.0])])
    check_eq(more(), [0])
    check_in("It takes 3 processes a side to say anything.", out)
    check("would tell" not in out, out)


@test
def a_run_beside_itself_is_named_so(place):
    write_run(place, "a.json", [result("x", around(100, 1, 4, 0.3))], uid="one")
    place.write("h.json", json.dumps({"results": [{"command": "x", "times": [1, 2, 1]}]}))
    for name in ("a.json", "h.json"):
        out = compare(place, name, name).out
        check_in("A and B are the same run", out)
        check("would tell" not in out, out)
    write_run(place, "b.json", [result("x", around(100, 1, 4, 0.3))], uid="two")
    check("same run" not in compare(place, "a.json", "b.json").out)


@test
def an_interval_that_says_nothing_is_called_wide(place):
    write_run(place, "a.json", [result("x", [1.0, 30.0]), result("y", [1e-5, 1.1e-5, 1.2e-5])])
    write_run(place, "b.json", [result("x", [2.0, 40.0]), result("y", [1.0, 1.1, 1.2])])
    r, data = compare_json(place, "a.json", "b.json")
    low, high = data["comparisons"][0]["ratio95"]
    check(high > 1000 * low, data)
    out = compare(place, "a.json", "b.json").out
    check_in(" wide ", [x for x in out.splitlines() if x.startswith("x ")][0])
    row = [x.split() for x in out.splitlines() if x.startswith("y ")][0]
    check("1e+05" in row and "-" in row, row)  # no room for two exponents
    check_eq(place.run("import", "--db", place.path("db"), "a.json").status, 0)
    place.run("gate", "--db", place.path("db"), "--baseline", "w", "--set", "last")
    r = place.run("gate", "--db", place.path("db"), "--baseline", "w", "-m", "yield_ns", "b.json")
    line = [x for x in r.out.splitlines() if x.startswith("undecided") and " x" in x][0]
    check("95 %" not in line, r.out)


@test
def high_may_be_better(place):
    kinds = {"metric": "rate", "unit": "per_s", "better": "higher"}
    write_run(place, "a.json", [result("x", around(100), **kinds)])
    write_run(place, "b.json", [result("x", around(110), **kinds)])
    r, data = compare_json(place, "a.json", "b.json")
    check_eq(verdicts(data), [("x", "rate", "faster")])
    r, data = compare_json(place, "b.json", "a.json")
    check_eq(verdicts(data), [("x", "rate", "slower")])


@test
def amounts_are_less_or_more(place):
    kinds = {"metric": "bytes_per_thread", "unit": "bytes", "experiment": "capacity"}
    write_run(place, "a.json", [result("x", around(1000), **kinds)])
    write_run(place, "b.json", [result("x", around(2000), **kinds)])
    check_in(" more\n", compare(place, "a.json", "b.json").out)
    check_in(" less\n", compare(place, "b.json", "a.json").out)


@test
def the_margin_is_what_may_differ(place):
    write_run(place, "a.json", [result("x", around(100, 1))])
    write_run(place, "b.json", [result("x", around(103, 2))])
    for margin, verdict in (("1%", "slower"), ("2.5", "slower"), ("5%", "same"), ("50", "same")):
        r, data = compare_json(place, "a.json", "b.json", "--margin", margin)
        check_eq(verdicts(data)[0][2], verdict, margin)


@test
def only_the_same_work_is_compared(place):
    write_run(place, "a.json", [
        result("x", around(100), params={"threads": 2, "iterations": 100}),
        result("y", around(100), params={"threads": 2}), result("gone", around(1)),
        result("u", around(100)), result("fact", around(3), better=None)])
    write_run(place, "b.json", [
        result("x", around(100, 2), params={"threads": 2, "iterations": 300}),
        result("y", around(100), params={"threads": 4}), result("new", around(1)),
        result("u", around(100), unit="us"), result("fact", around(4), better=None)])
    r, data = compare_json(place, "a.json", "b.json")
    check_eq([v[0] for v in verdicts(data)], ["x"], "repetition alone may differ")
    check_eq([x["subject"] for x in data["only_a"]], ["y", "gone", "u"])
    check_eq([x["subject"] for x in data["only_b"]], ["y", "new", "u"])
    check_in("Only in A: switch y yield_ns, switch gone yield_ns", compare(place, "a.json",
                                                                          "b.json").out)


@test
def versions_with_other_names_are_compared(place):
    write_run(place, "a.json", [result("./old x", around(100))])
    write_run(place, "b.json", [result("./new x", around(200))])
    r, data = compare_json(place, "a.json", "b.json")
    check_eq(r.status, 0, repr(r))
    check_eq((data["comparisons"][0]["a"]["subject"], data["comparisons"][0]["b"]["subject"]),
             ("./old x", "./new x"))
    check_in("./old x | ./new x", compare(place, "a.json", "b.json").out)
    write_run(place, "c.json", [result("./new x", around(200)), result("./third", around(200))])
    r = compare(place, "a.json", "c.json")
    check_eq(r.status, 3, repr(r))
    check_in("have no result in common", r.err)
    check_in("Nothing in A and B is comparable", r.out)


@test
def metrics_are_chosen(place):
    several = [result("x", around(1), metric="single_ns", experiment="spawn"),
               result("x", around(1), metric="batch_ns", experiment="spawn", primary=False)]
    write_run(place, "a.json", several)
    write_run(place, "b.json", several)
    r, data = compare_json(place, "a.json", "b.json", "--metric", "batch_ns")
    check_eq([v[1] for v in verdicts(data)], ["batch_ns"])
    r, data = compare_json(place, "a.json", "b.json", "--primary")
    check_eq([v[1] for v in verdicts(data)], ["single_ns"])
    check_eq(compare(place, "a.json", "b.json", "--metric", "none").status, 3)


    r = compare(place, "a.json", "b.json", "--metric", "none")
    check_in("no result of 'a.json' or 'b.json' has the metric 'none'", r.err)
    check("in common" not in r.err, r.err)


@test
def compare_says_which_runs_it_compared(place):
    commit = "0123456789abcdef0123456789abcdef01234567"
    for name, label, dirty in (("a.json", "old", ""), ("b.json", "new", "-dirty")):
        path = write_run(place, name, [result("x", around(100))], commit=commit + dirty,
                         time="2026-11-22T01:02:03Z",
                         machine={"cpu": "made up", "kernel": "Linux 6", "commit": "fedcba98"})
        r = place.run("import", "--db", place.path("db"), "--label", label, path)
        check_eq(r.status, 0, repr(r))
    r = compare(place, "last-1", "2")
    a, b = [" ".join(x.split()) for x in r.out.split("\n\n")[0].split("\nB: ")]
    check_in("A: last-1, which is run 1, label old, commit 0123456789ab, 2026-11-22T01:02:03Z", a)
    check_in("run 2, label new, commit 0123456789ab-dirty, ", b)
    for side in (a, b):
        check_in("made up, Linux 6, by heddle fedcba98", side)
    data = compare_json(place, "last-1", "2")[1]
    check_eq([data["b"][key] for key in ("name", "id", "label", "commit", "time")],
             ["2", 2, "new", commit + "-dirty", "2026-11-22T01:02:03Z"])
    page = compare(place, "last-1", "2", "--html", "-").out.split("</header>")[0]
    for part in ("run 1", "old", commit + "-dirty", "heddle fedcba98"):
        check_in("<span>%s</span>" % part, page[page.index("<header>"):])


@test
def p_is_adjusted_over_all(place):
    same = [result("s%d" % i, around(100, i + 10, 6, 0.01)) for i in range(20)]
    other = [result("s%d" % i, around(100, i + 50, 6, 0.01)) for i in range(20)]
    write_run(place, "a.json", same)
    write_run(place, "b.json", other)
    r, data = compare_json(place, "a.json", "b.json")
    # Of 5 %, 4 are Welch's and 1 is for Mann and Whitney.
    p = sorted(min(c["p_welch"] / 0.8, c["p_mann_whitney"] / 0.2, 1) for c in data["comparisons"])
    adjusted = sorted(c["p_adjusted"] for c in data["comparisons"])
    expected, least = [], 1.0
    for i in range(19, -1, -1):
        least = min(least, p[i] * 20 / (i + 1))
        expected.append(least)
    for got, wanted in zip(adjusted, reversed(expected)):
        check(abs(got - wanted) < 1e-12, (adjusted, expected))


@test
def comparisons_come_as_csv(place):
    write_run(place, "a.json", [result("x, \"y\"", around(100), params={"t": 1})])
    write_run(place, "b.json", [result("x, \"y\"", around(110), params={"t": 1})])
    r = compare(place, "--csv", "-", "a.json", "b.json")
    rows = list(csv.DictReader(io.StringIO(r.out)))
    check_eq(len(rows), 1)
    check_eq((rows[0]["subject"], rows[0]["params"], rows[0]["verdict"], rows[0]["n_a"]),
             ("x, \"y\"", "t=1", "slower", "12"))
    check(1.09 < float(rows[0]["ratio"]) < 1.11, rows)


@test
def comparisons_come_as_a_page(place):
    write_run(place, "a.json", [result("<x>", around(100)), result("gone", around(100))])
    write_run(place, "b.json", [result("<x>", around(110))])
    r = compare(place, "--html", "-", "a.json", "b.json")
    check_eq(r.status, 0, repr(r)[:1000])
    for part in ("<!DOCTYPE html>", "&lt;x&gt;", "gone", "slower", "</html>"):
        check(part in r.out, part)
    check("<x>" not in r.out, "a name is not escaped")


@test
def zeros_and_single_processes_are_no_accident(place):
    write_run(place, "a.json", [result("zero", [0] * 5), result("rise", [0] * 5),
                                result("one", [5]), result("some", [0, 1, 0, 1, 0])])
    write_run(place, "b.json", [result("zero", [0] * 5), result("rise", [3] * 5),
                                result("one", [6]), result("some", [0, 1, 0, 1, 1])])
    r, data = compare_json(place, "a.json", "b.json")
    check_eq(r.status, 0, repr(r))
    found = {c["subject"]: c for c in data["comparisons"]}
    check_eq(found["zero"]["verdict"], "same")
    check_eq(found["rise"]["verdict"], "slower")
    check_eq(found["rise"]["ratio"], None)
    check_eq((found["one"]["verdict"], found["one"]["p_welch"]), ("undecided", None))
    check_eq(found["some"]["verdict"], "undecided")
    check_eq(compare(place, "a.json", "b.json").status, 0)


@alone
def runs_in_the_store_are_found(place):
    first, second = measure(place, "--label", "before", "true"), measure(place, "sleep 0.02")
    for a, b in ((first, second), ("last-1", "last"), ("before", "last"), ("before", second)):
        r, data = compare_json(place, a, b, "--metric", "wall_s")
        check_eq(r.status, 0, repr(r))
        check_eq(verdicts(data)[0][2], "slower")
    r, data = compare_json(place, first, first, "--metric", "wall_s")
    check_eq(data["comparisons"][0]["ratio"], 1)
    for what, part in (("99", "no run '99'"), ("nobody", "no run 'nobody'"),
                       ("baseline:none", "no baseline 'none'"), ("no/such", "no/such"),
                       ("last-9", "no run 'last-9'")):
        r = compare(place, "last", what)
        check_eq(r.status, 2, "%s: %r" % (what, r))
        check_in(part, r.err)
        check_eq(r.out, "")


@alone
def revisions_of_git_are_runs(place):
    env = dict(place.env, GIT_CONFIG_GLOBAL="/dev/null", GIT_AUTHOR_NAME="t", GIT_AUTHOR_EMAIL="t",
               GIT_COMMITTER_NAME="t", GIT_COMMITTER_EMAIL="t")

    def git(*args):
        return subprocess.check_output(("git",) + args, cwd=place.path("tree"), env=env)

    def in_tree(*args):
        return place.run(*args, cwd=place.path("tree"))

    place.write("tree/program", "#!/bin/sh\n", 0o755)
    try:
        git("init", "-q", "-b", "main")
    except (OSError, subprocess.CalledProcessError) as e:
        raise Skip("git: %s" % e)
    git("add", ".")
    git("commit", "-q", "-m", "one")
    measured = ("run", "--quiet", "--db", place.path("db"), "-r", "6", "--", "./program")
    check_eq(in_tree(*measured).status, 0)
    place.write("tree/program", "#!/bin/sh\nsleep 0.02\n", 0o755)
    git("commit", "-q", "-a", "-m", "two")
    check_eq(in_tree(*measured).status, 0)
    commit = git("rev-parse", "HEAD").decode().strip()
    for a, b in (("HEAD~1", "HEAD"), ("rev:main~1", "rev:main"), ("HEAD^", commit[:12])):
        r = in_tree("compare", "--db", place.path("db"), a, b, "--metric", "wall_s")
        check_eq(r.status, 0, repr(r))
        check_in("slower", r.out)
    r = in_tree("compare", "--db", place.path("db"), "HEAD~7", "HEAD")
    check_eq(r.status, 2)
    check_in("git knows no revision 'HEAD~7' here", r.err)


@alone
def files_of_others_are_compared_with_runs(place):
    measure(place, "sleep 0.02")
    place.write("hyperfine.json", json.dumps({"results": [
        {"command": "sleep 0.02", "mean": 0.01, "stddev": 0.001, "median": 0.01, "user": 0.001,
         "system": 0.001, "min": 0.009, "max": 0.011, "times": [0.01, 0.011, 0.009, 0.01, 0.0101],
         "exit_codes": [0] * 5}]}))
    r, data = compare_json(place, "hyperfine.json", "last", "--metric", "wall_s")
    check_eq(r.status, 0, repr(r))
    check_eq(verdicts(data), [("sleep 0.02", "wall_s", "slower")])


@test
def broken_files_are_refused(place):
    place.write("empty.json", "")
    place.write("text.json", "no JSON")
    place.write("other.json", "{\"a\": 1}")
    write_run(place, "good.json", [result("x", around(1))])
    for name in ("empty.json", "text.json", "other.json", "./gone.json"):
        r = compare(place, "good.json", name)
        check_eq(r.status, 2, "%s: %r" % (name, r))
        check_in(name.lstrip("./"), r.err)


@test
def wrong_usage_of_compare_and_gate_is_refused(place):
    for args, part in (
            (["compare"], "which two runs?"), (["compare", "1"], "which two runs?"),
            (["compare", "1", "2", "3"], "unexpected '3'"),
            (["compare", "-", "-"], "standard input (-) can be given once"),
            (["compare", "--margin", "-1", "1", "2"], "not a percentage"),
            (["compare", "--csv", "x", "--json", "x", "1", "2"], "two reports cannot go"),
            (["gate"], "which baseline?"), (["gate", "-b", "x", "1", "2"], "unexpected '2'"),
            (["gate", "-b", ""], "which baseline?"),
            (["gate", "-b", "x", "--slower", "5 %"], "not a percentage"),
            (["gate", "-b", "x", "--set", "./f.json"], "a file cannot become a baseline"),
            (["gate", "-b", "x", "--set", "--update-if-faster", "1"], "exclude each other")):
        r = place.run(*args)
        check_eq(r.status, 2, "%s: %r" % (args, r))
        check_in(part, r.err, str(args))
        check_eq(r.out, "")


def gate(place, *args):
    return place.run("gate", "--db", place.path("db"), "--baseline", "main", *args)


@alone
def a_gate_passes_what_is_no_slower(place):
    measure(place, "sleep 0.02")
    r = gate(place, "--set")
    check_eq((r.status, r.out), (0, "Baseline 'main' is run 1.\n"), r.err)
    r = gate(place)
    check_eq(r.status, 0, repr(r))
    check_in("Good: 1 compared with baseline 'main', 0 slower by more than 5 %", r.out)


@alone
def a_gate_fails_what_is_slower(place):
    measure(place, "-n", "x", "sleep 0.02")
    gate(place, "--set")
    measure(place, "-n", "x", "sleep 0.06")
    r = gate(place)
    check_eq(r.status, 1, repr(r))
    check_in("slower: run wall_s of x +", r.out)
    check_in("Failed: 1 compared with baseline 'main', 1 slower by more than 5 %", r.out)
    check_eq(gate(place, "--slower", "900%").status, 0)
    check_eq(gate(place, "1").status, 0, "the first run is named")
    r = gate(place, "--json", "-")
    check_eq(r.status, 1)
    check_eq(json.loads(r.out)["comparisons"][0]["verdict"], "slower")
    check_in("Failed: 1 compared", r.err)


@alone
def a_gate_says_what_is_missing(place):
    measure(place, "true", "sleep 0.001")
    gate(place, "--set")
    measure(place, "true", "echo new")
    r = gate(place, "--slower", "1000")
    check_eq(r.status, 3, repr(r))
    check_in("missing: run wall_s of sleep 0.001", r.out)
    check_in("Not complete", r.out)
    measure(place, "echo new", "echo newer")
    check_eq(gate(place).status, 3)


@alone
def a_gate_moves_its_baseline_when_told(place):
    measure(place, "-n", "x", "sleep 0.25")
    gate(place, "--set")
    measure(place, "-n", "x", "sleep 0.05")
    r = gate(place)
    check_eq(r.status, 0, repr(r))
    check_in("faster: run wall_s of x -", r.out)
    check("Baseline" not in r.out, r.out)
    check_eq(gate(place, "--update-if-faster", "900%").out.count("Baseline 'main'"), 0)
    check_in("Baseline 'main' is run 2.", gate(place, "--update-if-faster", "10%").out)
    check_in("Baseline 'main' is run 2.", gate(place, "--set", "last").out)
    check_eq(gate(place, "1").status, 1, "the baseline is the faster run now")
    check_eq(compare(place, "baseline:main", "1", "--metric", "wall_s").status, 0)


@alone
def a_slower_metric_keeps_the_baseline(place):
    measure(place, "-n", "x", "-n", "y", "sleep 0.06", "sleep 0.02")
    gate(place, "--set")
    measure(place, "-n", "x", "-n", "y", "sleep 0.02", "sleep 0.06")
    r = gate(place, "--update-if-faster", "10%")
    check_eq(r.status, 1, repr(r))
    check("Baseline 'main' is" not in r.out, r.out)


@test
def gates_may_be_strict(place):
    write_run(place, "wild.json", [result("x", [1, 2, 3, 9], experiment="switch")])
    r = place.run("import", "--db", place.path("db"), "wild.json")
    check_eq(r.status, 0, repr(r))
    check_eq(gate(place, "--set").status, 0)
    r = gate(place)
    check_eq(r.status, 0, repr(r))
    check_in("undecided: switch yield_ns of x", r.out)
    check_eq(gate(place, "--strict").status, 1)


@test
def baselines_that_are_not_there_are_refused(place):
    measure(place, "true")
    r = gate(place)
    check_eq(r.status, 2, repr(r))
    check_in("no baseline 'main'", r.err)
    r = place.run("gate", "--db", place.path("none"), "-b", "main")
    check_eq(r.status, 2, repr(r))


@alone
def a_million_samples_are_compared_soon(place):
    numbers = random.Random(7)
    half = [[round(numbers.lognormvariate(0, 0.1), 6) for _ in range(5)] for _ in range(100000)]
    medians = [sorted(p)[2] for p in half]
    big = result("x", medians, processes=half)
    write_run(place, "a.json", [big])
    write_run(place, "b.json", [big])
    for name in "ab":
        r = place.run("import", "--db", place.path("db"), name + ".json", timeout=120)
        check_eq(r.status, 0, repr(r))
    begin = time.time()
    r, data = compare_json(place, "1", "2")
    check_eq(r.status, 0, repr(r))
    check_eq(verdicts(data), [("x", "yield_ns", "same")])
    check_eq(data["comparisons"][0]["a"]["n"], 100000)
    check(time.time() - begin < 30, "took %.1f s" % (time.time() - begin))

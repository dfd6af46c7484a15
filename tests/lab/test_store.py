# SPDX-License-Identifier: MIT
"""That runs are kept: where, by whom, and what happens when they cannot be."""

import json
import os
import signal
import sqlite3

from harness import ANSWERS, check, check_eq, check_in, test, wait_for

USUAL = "home/.local/share/heddle/results.db"


def rows(path, sql):
    db = sqlite3.connect(path)
    try:
        return db.execute(sql).fetchall()
    finally:
        db.close()


def kept(path):
    return rows(path, "SELECT count(*) FROM run")[0][0] if os.path.exists(path) else 0


@test
def every_run_is_kept(place):
    place.subject("heddle")
    r = place.lab("switch", "--seed", "7")
    check_eq((r.status, r.err), (0, ""), repr(r))
    check_in("Kept as run 1.", r.out)
    path = place.path(USUAL)
    check_eq(rows(path, "SELECT command, mode FROM run"),
             [("heddle lab switch --seed 7 --subject heddle --repeat 3", "default")])
    check_eq(rows(path, "SELECT subject, metric, n, median FROM result ORDER BY place"),
             [("heddle", "yield_ns", 3, 30.0), ("bare", "bare_switch_ns", 3, 3.0)])
    check_eq(rows(path, "SELECT value FROM fact WHERE kind = 'option' AND key = 'seed'"), [("7",)])
    check_in("Kept as run 2.", place.lab("switch").out)


@test
def a_store_is_where_it_is_told_to_be(place):
    place.subject("heddle")
    env = {"XDG_DATA_HOME": place.path("xdg")}
    place.lab("switch", env=env)
    check_eq(kept(place.path("xdg/heddle/results.db")), 1)
    place.lab("switch", env={"XDG_DATA_HOME": "relative"})
    check_eq(kept(place.path(USUAL)), 1)
    env["HEDDLE_DB"] = place.path("by/environment.db")
    place.lab("switch", env=env)
    check_eq(kept(env["HEDDLE_DB"]), 1)
    place.lab("switch", "--db", "option.db", env=env)
    check_eq(kept(place.path("option.db")), 1)
    r = place.lab("switch", "--no-store", "--db", "option.db", env=env)
    check("Kept" not in r.out, r.out)
    check_eq([kept(p) for p in (place.path(USUAL), env["HEDDLE_DB"], place.path("option.db"))],
             [1, 1, 1])


@test
def a_store_may_have_any_name(place):
    place.subject("heddle")
    for name in (":memory:", "file:x?mode=memory", "a b%20#.db", "-odd"):
        r = place.lab("switch", "--db=" + name)
        check_eq((r.status, r.err), (0, ""), repr(r))
        check_eq(kept(place.path(name)), 1, name)


@test
def a_store_that_cannot_be_used_is_told_before_anything_is_measured(place):
    place.subject("heddle")
    place.write("no-store.txt", "Dear diary, " * 100)
    place.write("a-file", "")
    for name in ("no-store.txt", "a-file/results.db", "data", "/dev/null", ""):
        r = place.lab("switch", "--db", name)
        check_eq(r.status, 2, repr(r))
        check_in(name, r.err)
    check_eq(place.calls(), [])
    with open(place.path("no-store.txt")) as f:
        check_eq(f.read(), "Dear diary, " * 100, "it was changed")


@test
def the_usual_store_may_be_missing(place):
    place.subject("heddle")
    place.write("a-file", "")
    for env in ({"HOME": place.path("a-file")}, {"HOME": ""}):
        r = place.lab("switch", env=env)
        check_eq(r.status, 0, repr(r))
        check_in("this run is not kept", r.err)
        check_in("30.0 ns", r.out)


@test
def labels_that_would_mean_something_else_are_refused(place):
    place.subject("heddle")
    for label in ("", "12", "last", "last-1", "baseline:x", "a/b", "a\nb"):
        r = place.lab("switch", "--label", label)
        check_eq(r.status, 2, label)
    check_eq(place.calls(), [])
    place.lab("switch", "--label", "before the change")
    check_eq(rows(place.path(USUAL), "SELECT label FROM run"), [("before the change",)])


@test
def what_was_measured_until_an_interruption_is_kept(place):
    place.subject("heddle", {"switch": ANSWERS["switch"], "spawn": "!sleep 20"})
    p = place.start("lab", "switch", "spawn", "--subject", "heddle", "--repeat", "2")
    wait_for(lambda: any(call[1] == "spawn" for call in place.calls()))
    p.send_signal(signal.SIGINT)
    p.communicate(timeout=20)
    check_eq(p.returncode, 130)
    check_eq(rows(place.path(USUAL), "SELECT interrupted FROM run"), [(1,)])
    check_in(("yield_ns",), rows(place.path(USUAL), "SELECT metric FROM result"))


@test
def a_run_of_nothing_is_not_kept(place):
    check_eq(place.run("run", "-r", "3", "--label", "good", "true").status, 0)
    r = place.run("run", "-r", "3", "--label", "bad", "false")
    check_eq(r.status, 3, repr(r))
    check_in("Nothing was measured", r.out)
    check("Kept" not in r.out, r.out)
    place.subject("heddle", {"spawn": "error no threads today"})
    r = place.lab("spawn", "--subject", "heddle")
    check_eq(r.status, 3, repr(r))
    check_in("no threads today", r.out)
    check_eq(kept(place.path(USUAL)), 1)
    r = place.run("run", "-r", "3", "false", "true")
    check_eq(r.status, 3, repr(r))
    check_eq(kept(place.path(USUAL)), 2, "one of them was measured")


@test
def failures_and_notes_are_kept(place):
    place.subject("heddle", {"switch": ANSWERS["switch"], "spawn": "error no threads today"})
    place.lab("switch", "spawn")
    path = place.path(USUAL)
    check_eq(rows(path, "SELECT experiment, subject, reason FROM failure"),
             [("spawn", "heddle", "no threads today")])
    check_in(("switch", "heddle", "guard", "none"),
             rows(path, "SELECT experiment, subject, key, text FROM note"))
    check_in(("kernel",), rows(path, "SELECT key FROM fact WHERE kind = 'machine'"))


@test
def a_run_that_cannot_be_written_goes_into_a_file(place):
    """The store breaks while the run is measured."""
    place.subject("heddle", before='case "$1" in switch) echo broken > "$HEDDLE_DB" ;; esac')
    env = {"HEDDLE_DB": place.path("mine.db"), "TMPDIR": place.path("home")}
    r = place.lab("switch", env=env)
    check_eq(r.status, 3, repr(r))
    check_in("mine.db", r.err)
    check_in("30.0 ns", r.out, "the table is printed all the same")
    names = os.listdir(place.path("home"))
    check_eq([n.endswith(".json") for n in names], [True], r.err)
    check_in(names[0], r.err)
    r = place.run("import", place.path("home/" + names[0]), "--db", "other.db")
    check_in("heddle, 2 results, kept as run 1", r.out)
    r = place.run("history", "-m", "yield_ns", "--db", "other.db")
    check_in("30.0 ns", r.out)


@test
def commands_beside_each_other_all_keep_their_runs(place):
    place.subject("heddle")
    args = ["lab", "switch", "--subject", "heddle", "--repeat", "2"]
    running = [place.start(*args) for _ in range(5)]
    for p in running:
        _, err = p.communicate(timeout=60)
        check_eq((p.returncode, err), (0, b""))
    check_eq(kept(place.path(USUAL)), 5)


def history(place, *args):
    r = place.run("history", *args)
    check_eq((r.status, r.err), (0, ""), repr(r))
    for line in r.out.splitlines():
        check(len(line) <= 80, line)
    return r.out


@test
def history_lists_runs(place):
    place.subject("heddle")
    place.lab("switch", "--label", "the-first-of-all-runs")
    place.lab("spawn", "--seed", "9")
    lines = history(place).splitlines()
    check_eq([line.split()[0] for line in lines], ["RUN", "2", "1"])
    check_in("lab spawn --seed 9", lines[1])
    check_in("the-first-of", lines[2])
    check_eq(len(history(place, "--limit", "1").splitlines()), 2)
    check_eq(len(history(place, "--experiment", "spawn").splitlines()), 2)
    check_in("There is no such run", history(place, "--since", "2999"))
    for date in ("tomorrow", "2026-13", "2026-00", "2026-02-30", "2026-1", "2026-11-", "22.11.2026",
                 "2026-11-22T24", "2026-11-22T18:0", "2026-11-22x", "2026Z", "", "20260"):
        r = place.run("history", "--since", date)
        check_eq((r.status, r.out), (2, ""), date)
        check_in("--since: '%s' is no date" % date, r.err)
    for date in ("2026", "2026-11", "2024-02-29", "2026-11-22T18", "2026-11-22 18:00",
                 "2025-11-22T18:00:59", "2025-11-22T18:00:59Z"):
        check_eq(len(history(place, "--since", date.replace("202", "201")).splitlines()), 3, date)
    runs = json.loads(history_json(place))["runs"]
    check_eq([(x["id"], x["label"]) for x in runs], [(2, None), (1, "the-first-of-all-runs")])


def history_json(place, *args):
    r = place.run("history", "--json", *args)
    check_eq((r.status, r.err), (0, ""), repr(r))
    return r.out


@test
def history_shows_commits_that_differed_and_commands_first(place):
    commit = "0123456789abcdef0123456789abcdef01234567"
    command = "heddle run -r 5 --label before -- 'sleep 0.001' 'sleep 0.002'"
    for tail in ("", "-dirty"):
        run = {"schema": 1, "mode": "run", "commit": commit + tail, "command": command,
               "time": "2026-11-22T01:02:03Z",
               "subjects": [{"name": n, "kind": "native"} for n in ("sleep 0.001", "sleep 0.002")],
               "results": [{"experiment": "run", "subject": "sleep 0.001", "metric": "wall_s",
                            "unit": "s", "n": 1, "samples": [1], "processes": [[1]]}]}
        r = place.run("import", place.write("run.json", json.dumps(run)))
        check_eq(r.status, 0, repr(r))
    lines = history(place).splitlines()
    check_in(" 0123456-dirty ", lines[1])
    check_in(" 0123456       ", lines[2])
    check_in(" sleep 0.001 | s", lines[1])
    wide = place.run("history", env={"COLUMNS": "200"}).out.splitlines()
    check_in(" sleep 0.001 | sleep 0.002 (%s)" % command[len("heddle "):], wide[1])
    check_in("0123456-dirty", history(place, "-m", "wall_s"))
    check_in("run sleep 0.001 ", place.run("history", "-m", "wall_s", env={"COLUMNS": "99"}).out)


@test
def history_shows_what_became_of_a_metric(place):
    for value in ("30", "31"):
        place.subject("heddle", {"switch": "sample yield_ns ns " + value})
        place.subject("pthread", {"switch": "sample yield_ns ns 900"})
        place.lab("switch")
    lines = history(place, "--metric", "yield_ns").splitlines()[1:]
    check_eq([(x.split()[0], x.split()[4]) for x in lines],
             [("2", "heddle"), ("2", "pthread"), ("1", "heddle"), ("1", "pthread")])
    only = json.loads(history_json(place, "-m", "yield_ns", "--subject", "heddle"))["results"]
    check_eq([(x["id"], x["median"]) for x in only], [(2, 31), (1, 30)])


@test
def runs_are_labelled_made_baselines_and_deleted(place):
    place.subject("heddle")
    for _ in range(3):
        place.lab("switch")
    check_in("labelled", history(place, "last-1", "--set-label", "good"))
    check_in("baseline", history(place, "good", "--set-baseline", "main"))
    check_in("good =main", history(place).splitlines()[2])
    baselines = {x["id"]: x["baselines"] for x in json.loads(history_json(place))["runs"]}
    check_eq(baselines, {1: None, 2: "main", 3: None})
    check_eq(place.run("export", "baseline:main").out, place.run("export", "2").out)
    check_eq(history(place, "good", "--delete"),
             "Run 2: deleted, and with it the baseline 'main'.\n")
    r = place.run("export", "baseline:main")
    check_in("there is no baseline 'main'", r.err)
    check_eq([x["id"] for x in json.loads(history_json(place))["runs"]], [3, 1])
    for args in (["--delete"], ["last"], ["last", "--delete", "--set-label", "x"],
                 ["last", "--set-label", "12"], ["last", "--set-baseline", ""], ["1", "3"],
                 ["--limit", "few"], ["nobody", "--delete"], ["good", "--set-label", "x"]):
        r = place.run("history", *args)
        check_eq(r.status, 2, "%s: %r" % (args, r))
        check(r.err)
    for what, part in (("nobody", "there is no run 'nobody'"),
                       ("3", "'3' is run 3, but what shall")):
        r = place.run("history", what, "--limit", "1")
        check_eq((r.status, r.out), (2, ""))
        check_in(part, r.err)
    check_eq(history(place, "1", "--delete"), "Run 1: deleted.\n")
    history(place, "3", "--set-label", "x")
    history(place, "3", "--set-label", "")
    check_eq(rows(place.path(USUAL), "SELECT label FROM run WHERE id = 3"), [(None,)])


@test
def without_a_store_nothing_is_made(place):
    for args in (["history"], ["export", "last"]):
        r = place.run(*args)
        check_eq(r.status, 2)
        check_in("there is no store", r.err)
    check(not os.path.exists(place.path("home/.local")))


@test
def names_may_be_in_any_script(place):
    place.subject("heddle")
    place.lab("switch", "--label", u"größer 日本")
    check_eq(rows(place.path(USUAL), "SELECT label FROM run"), [(u"größer 日本",)])
    check_in(" gr??er ??   ", history(place))
    utf8 = {"LC_ALL": "C.UTF-8"}
    check_in(u" größer 日本  ", place.run("history", "--label", u"größer 日本", env=utf8).out)
    r = place.run("history", "last", "--set-baseline", u"früher")
    check_eq((r.status, r.err), (0, ""), repr(r))
    check_in(u" größer 日本 ", place.run("history", env=utf8).out)
    check_eq(place.run("gate", "--baseline", "a\nb", "--set").status, 2)
    for bad in ("a\nb", "a\x1b[31m", b"a\xff", u"a\u202eb", b"\xc0\xaf", b"\xed\xa0\x80"):
        for option in ("--set-label", "--set-baseline"):
            r = place.run("history", "last", option, bad)
            check_eq((r.status, r.out), (2, ""), repr(bad))
    place.write("other.json", json.dumps({"results": [
        {"command": u"échö 日本\x1b\u202e", "times": [1, 2, 3]}]}))
    r = place.run("compare", "other.json", "other.json", env=utf8)
    check_in(u"\néchö 日本??        2.00 s", r.out)
    check_in("\n?ch? ????          2.00 s", place.run("compare", "other.json", "other.json").out)

# SPDX-License-Identifier: MIT
"""Self-checks are kept with their machine, and gate and compare say what verdicts are worth."""

import json
import sqlite3

from harness import check, check_eq, check_in, test
from test_compare import result, write_run
from test_selfcheck import EQUAL, PLANTED


def two_runs(place):
    for label in ("a", "b"):
        r = place.run("run", "-r", "5", "--label", label, "true")
        check_eq(r.status, 0, repr(r))
    check_eq(place.run("history", "a", "--set-baseline", "main").status, 0)


def self_check(place, answers, status, *args):
    place.subject("pthread", answers)
    r = place.run("lab", "--self-check", "--repeat", "2", *args)
    check_eq(r.status, status, repr(r))
    return r


def store(place, sql, *values):
    db = sqlite3.connect(place.path("home/.local/share/heddle/results.db"))
    try:
        rows = db.execute(sql, values).fetchall()
        db.commit()
        return rows
    finally:
        db.close()


def gate(place, *args):
    return place.run("gate", "-b", "main", "b", "--slower", "1000%", *args)


def state(place):
    r = place.run("compare", "a", "b", "--json", "-")
    check_eq(r.status, 0, repr(r))
    return json.loads(r.out)["self_check"]["state"]


def refused(place, why):
    r = gate(place, "--require-self-check", "--update-if-faster", "0%")
    check_eq(r.status, 3, repr(r))
    check_in("nothing is judged", r.err)
    check_in(why, " ".join(r.err.split()))
    check("baseline" not in r.out and "Good" not in r.out, repr(r))
    check_in(why, " ".join(gate(place).out.split()), "without the option it is said, too")
    check_eq(gate(place).status, 0)


def one_that_counts(place):
    """As if it had made as many comparisons as it takes."""
    store(place, "UPDATE self_check SET comparisons = 100")


@test
def a_gate_can_require_a_self_check(place):
    two_runs(place)
    check_eq(state(place), "missing")
    check_in("is not known", place.run("compare", "a", "b").out)
    refused(place, "there is no self-check")
    r = self_check(place, PLANTED, 0)
    check_in("Kept for ", r.out)
    check_eq(store(place, "SELECT passed, comparisons, alarms, planted, found FROM self_check"),
             [(1, 2, 0, 2, 2)])
    report = json.loads(store(place, "SELECT report FROM self_check")[0][0])
    check(any(c["measured"] for c in report["self_check"]), report)
    check_eq(state(place), "small")
    refused(place, "too few comparisons")
    one_that_counts(place)
    check_eq(state(place), "passed")
    r = gate(place, "--require-self-check")
    check_eq(r.status, 0, repr(r))
    check_in("Good", r.out)
    check("self-check" not in r.out + place.run("compare", "a", "b").out, repr(r))
    check("self-check" not in place.run("compare", "a", "b", "--html", "-").out)


@test
def a_failed_self_check_is_told(place):
    two_runs(place)
    self_check(place, EQUAL, 1)
    check_eq(store(place, "SELECT passed FROM self_check"), [(0,)])
    check_eq(state(place), "failed")
    refused(place, "failed (")
    check_in("failed", place.run("compare", "a", "b", "--markdown", "-").out)
    page = place.run("compare", "a", "b", "--html", "-").out
    check_in("wrong more often than they may be", page)
    r = place.run("machine", "--seconds", "0.01")
    check_in("failed (", " ".join(r.out.split()))
    self_check(place, PLANTED, 0)
    one_that_counts(place)
    check_eq(state(place), "passed", "the last one counts")


@test
def a_self_check_of_another_time_or_machine_is_told(place):
    two_runs(place)
    self_check(place, PLANTED, 0)
    one_that_counts(place)
    (time, kernel, heddle, machine), = store(
        place, "SELECT time, kernel, heddle, machine FROM self_check")
    check_eq(state(place), "passed")
    for column, value, other, told in (("time", time, "2020-02-03T04:05:06Z", "2020-02-03"),
                                       ("kernel", kernel, "Linux 0.99", "under Linux 0.99"),
                                       ("heddle", heddle, "0.0.1", "by heddle 0.0.1")):
        store(place, "UPDATE self_check SET %s = ?" % column, other)
        check_eq(state(place), "old", column)
        refused(place, told)
        store(place, "UPDATE self_check SET %s = ?" % column, value)
    check_eq(state(place), "passed")
    store(place, "UPDATE self_check SET machine = 'PDP-11, 1 CPU, pdp11'")
    check_eq(state(place), "missing")


@test
def what_says_nothing_is_not_kept(place):
    two_runs(place)
    self_check(place, PLANTED, 0, "--no-store")
    r = self_check(place, {"planted": "!exit 7"}, 3)
    check("Kept" not in r.out, repr(r))
    check_eq(store(place, "SELECT count(*) FROM self_check"), [(0,)])
    self_check(place, PLANTED, 0, "--db", place.path("other.db"))
    check_eq(store(place, "SELECT count(*) FROM self_check"), [(0,)])
    r = place.run("lab", "--self-check", "--repeat", "1", "--db",
                  place.write("text", "no database of anybody's"))
    check_eq(r.status, 2, repr(r))
    check_in("not a store", r.err)


@test
def a_run_without_a_machine_has_no_self_check(place):
    two_runs(place)
    path = write_run(place, "run.json", [result("x", [1.0, 1.1, 1.2])], machine={})
    check_eq(place.run("import", path, "--label", "b").status, 0)
    check_eq(place.run("history", "b", "--set-baseline", "main").status, 0)
    r = gate(place, "--require-self-check")
    check_eq(r.status, 3, repr(r))
    check_in("does not say on which machine", r.err)
    check_eq(state_of_same(place), "unknown")


def state_of_same(place):
    return json.loads(place.run("compare", "b", "b", "--json", "-").out)["self_check"]["state"]

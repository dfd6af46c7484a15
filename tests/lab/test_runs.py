# SPDX-License-Identifier: MIT
"""The report of every sample, and what earlier sources say."""

import csv
import io
import json

from harness import check, check_eq, check_in, test
from test_finding import MADE_UP

COLUMNS = ("experiment,variant,subject,kind,version,lock,params,metric,unit,process,sample,"
           "value").split(",")

WORKLOAD = """
case "$1" in
list) echo gil ;;
gil) printf 'note lock %s\\n'
     for i in 1 2; do printf 'sample one_thread_ms ms 10.%%s\\n' $i; done
     printf 'sample two_cores_ms ms 20\\n'
     printf 'sample echo_0_us us 50\\nsample echo_1_us us %s\\n' ;;
esac
"""


def interpreters(place, echo_us=5000):
    """An old and a new one, of which the workload says so."""
    for lock in ("old", "new"):
        place.write("data/workloads/%s/threads.py" % lock, WORKLOAD % (lock, echo_us))
    place.write("data/workloads/threads.py", "cd /; . \"$WORKLOADS/$LOCK/threads.py\"\n")
    place.env["WORKLOADS"] = place.path("data/workloads")
    for version, lock in (("2.34.5", "old"), ("3.34.6", "new")):
        place.python("python" + version[:4],
                     "export LOCK=%s" % lock + MADE_UP % ("CPython", version, 0))


@test
def runs_have_one_row_a_sample(place):
    interpreters(place)
    r = place.lab("gil", "--subject", "python*.34", "--repeat", "3", "--runs", "-",
                  "--json", "out.json")
    check_eq(r.status, 0, repr(r))
    check(r.out.count("\r\n") == r.out.count("\n") > 1, "lines must end as RFC 4180 says")
    rows = list(csv.DictReader(io.StringIO(r.out, newline=""), strict=True))
    check_eq(list(rows[0]), COLUMNS)
    with open(place.path("out.json")) as f:
        results = json.load(f)["results"]
    check_eq(len(rows), sum(len(p) for x in results for p in x["processes"]))
    countdown = [row for row in rows if row["variant"] == "countdown"]
    check_eq({(row["subject"], row["version"], row["lock"]) for row in rows},
             {("python2.34", "2.34.5", "old"), ("python3.34", "3.34.6", "new")})
    old = [row for row in countdown if row["lock"] == "old" and row["metric"] == "one_thread_ms"]
    check_eq([(row["process"], row["sample"], row["value"]) for row in old],
             [(str(p), str(s), "10.%d" % s) for p in (1, 2, 3) for s in (1, 2)])
    check_in("work=countdown", old[0]["params"])


@test
def runs_and_another_report_cannot_share_a_file(place):
    r = place.run("lab", "switch", "--runs", "x.csv", "--csv", "x.csv")
    check_eq(r.status, 2, repr(r))
    check_in("two reports cannot go to", r.err)


@test
def earlier_figures_stand_below_the_table(place):
    for echo_us, verdict in ((5000, "agrees"), (51, "disagrees")):
        interpreters(place, echo_us)
        r = place.lab("gil", "--subject", "python3.34", "--repeat", "3", "--json", "out.json")
        check_eq(r.status, 0, repr(r))
        check_in("take_gil() is the bottleneck", r.out)
        check_in("here %s" % ("100x" if echo_us == 5000 else "1.02x"), " ".join(r.out.split()))
        check_in(": " + verdict, r.out)
        with open(place.path("out.json")) as f:
            checks = [x for x in json.load(f)["references"] if x["experiment"] == "gil"]
        check_eq({(x["subject"], x["verdict"], x["measured"]) for x in checks},
                 {("python3.34", verdict, echo_us / 50.0)})
        check(all(x["between"] == [2, None] and x["source"] for x in checks), repr(checks))


@test
def pythons_in_a_sweep_are_told_apart(place):
    place.write("data/workloads/threads.py", """
case "$1" in
list) echo lifecycle ;;
lifecycle) echo sample total_ms ms 100 ;;
esac
""")
    for version in ("3.30.1", "3.31.2"):
        place.python("python" + version[:4], MADE_UP % ("CPython", version, 0))
    r = place.lab("lifecycle", "--threads", "5,6", "--subject", "python3.3?")
    check_eq(r.status, 0, repr(r))
    check(["total", "py3.30", "py3.31"] in [line.split() for line in r.out.splitlines()], r.out)


@test
def a_sweep_has_columns_for_those_who_have_the_metric(place):
    place.subject("heddle", {"affinity": "sample plain_ns ns 1\\nsample biased_ns ns 2"})
    place.subject("pthread", {"affinity": "sample plain_ns ns 3"})
    r = place.lab("affinity")
    check_eq(r.status, 0, repr(r))
    lines = [line.split() for line in r.out.splitlines()]
    check(["plain", "count", "heddle", "pthread"] in lines, r.out)
    check(["hd_ref", "heddle"] in lines, r.out)
    check_in(["owner=50", "2.00", "ns"], lines)

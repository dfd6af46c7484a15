# SPDX-License-Identifier: MIT
"""heddle import and export: files of other tools in and out, nothing lost on the way."""

import copy
import csv
import io
import json
import os
import re
import shutil
import statistics
import subprocess
import sys

from harness import ANSWERS, Skip, check, check_eq, check_in, test

DATA = os.path.join(os.path.dirname(os.path.abspath(__file__)), "data")
FILES = [("hyperfine", "hyperfine.json"), ("hyperfine", "hyperfine-parameters.json"),
         ("gbench", "gbench.json"), ("pyperf", "pyperf.json")]
TOOLS = ("pyperf", "gbench", "hyperfine")


def data(name):
    return os.path.join(DATA, name)


def text(path):
    with open(path, newline="") as f:
        return f.read()


def export(place, what, kind, *args):
    r = place.run("export", what, "--format", kind, *args)
    check_eq((r.status, r.err), (0, ""), repr(r))
    return r.out


def run_of(place, what, *args):
    """A run as heddle's JSON, without its number in some store."""
    run = json.loads(export(place, what, "json", *args))
    run.pop("id", None)
    return run


def close(a, b):
    return abs(a - b) <= 1e-12 * abs(b)


def results(run, metric):
    return {(r["subject"], tuple(sorted(r["params"].items()))): r for r in run["results"]
            if r["metric"] == metric}


def measured(place, *args):
    """A run of heddle's own: several experiments, a note, values that are awkward."""
    answers = dict(ANSWERS)
    answers["switch"] = ("sample yield_ns ns 19.1720851\\nsample yield_ns ns 0.1\\n"
                         "sample yield_ns ns 1e-7\\nnote guard it \\\"is\\\" on, \\\\\\\\ at times")
    place.subject("heddle", answers)
    place.subject("pthread")
    r = place.lab("switch", "spawn", "lifecycle", *args)
    check_eq(r.status, 0, repr(r))
    return run_of(place, "last")


@test
def files_of_other_tools_are_taken(place):
    for number, (kind, name) in enumerate(FILES, 1):
        r = place.run("import", data(name))
        check_eq(r.status, 0, repr(r))
        check_in(": %s, " % kind, r.out)
        check_in("kept as run %d" % number, r.out)


@test
def every_time_of_hyperfine_is_a_process(place):
    for name in ("hyperfine.json", "hyperfine-parameters.json"):
        run = run_of(place, data(name))
        times = results(run, "wall_s")
        original = json.loads(text(data(name)))["results"]
        check_eq(len(times), len(original))
        for x in original:
            r = times[x["command"], tuple(sorted(x.get("parameters", {}).items()))]
            check_eq((r["experiment"], r["unit"], r["better"], r["n"]),
                     ("run", "s", "lower", len(x["times"])))
            check_eq(r["samples"], x["times"])
            check_eq(r["processes"], [[t] for t in x["times"]])
            check_eq([r["median"], r["min"], r["max"]], [x["median"], x["min"], x["max"]])
        check_eq(len(results(run, "user_s")), len(original))
    check_in("2 of 2 runs ended with a status other than 0", json.dumps(run["notes"]))


@test
def repetitions_of_google_benchmark_are_samples_of_one_process(place):
    run = run_of(place, data("gbench.json"))
    original = json.loads(text(data("gbench.json")))
    for metric in ("real_time", "cpu_time"):
        for (subject, _), r in results(run, metric).items():
            values = [x[metric] for x in original["benchmarks"]
                      if x["run_name"] == subject and x["run_type"] == "iteration"]
            check_eq((r["n"], r["processes"]), (1, [values]))
            check(close(r["median"], statistics.median(values)))
    rates = results(run, "bytes_per_second")
    check_eq(sorted(k[0] for k in rates), ["BM_copy/4096", "BM_copy/64"])
    check_eq({(r["unit"], r["better"]) for r in rates.values()}, {("per_s", "higher")})
    units = {r["subject"]: r["unit"] for r in run["results"] if r["metric"] == "real_time"}
    check_eq(units, {"BM_copy/64": "ns", "BM_copy/4096": "ns", "BM_counted/threads:2": "us"})
    check_eq({(f["subject"], f["reason"]) for f in run["failures"]},
             {("BM_refuse", "it cannot be done here")})
    check_in("with a label", json.dumps(run["notes"]))
    check_eq(run["time"], original["context"]["date"])
    check_eq(run["machine"]["cpus"], original["context"]["num_cpus"])


@test
def a_median_is_taken_where_there_are_no_repetitions(place):
    original = json.loads(text(data("gbench.json")))
    original["benchmarks"] = [x for x in original["benchmarks"] if x["run_type"] == "aggregate"]
    run = run_of(place, place.write("sums.json", json.dumps(original)))
    medians = {x["run_name"]: x["real_time"] for x in original["benchmarks"]
               if x["aggregate_name"] == "median"}
    check_eq({r["subject"]: r["samples"] for r in run["results"] if r["metric"] == "real_time"},
             {name: [value] for name, value in medians.items()})
    check_in("only their median", json.dumps(run["notes"]))


@test
def a_suite_of_one_benchmark_has_its_name_elsewhere(place):
    """pyperf puts what all benchmarks have in common, of one so its name, at the suite's end."""
    original = json.loads(text(data("pyperf.json")))
    only = original["benchmarks"][:1]
    original["metadata"].update(only[0].pop("metadata"))
    run = run_of(place, place.write("one.json", json.dumps(dict(original, benchmarks=only))))
    check_eq([r["subject"] for r in run["results"]], ["sum of a list"])
    check("name" not in run["machine"])


@test
def runs_of_pyperf_are_processes(place):
    run = run_of(place, data("pyperf.json"))
    original = json.loads(text(data("pyperf.json")))
    check_eq(len(run["results"]), 2)
    for x, r in zip(original["benchmarks"], run["results"]):
        check_eq((r["experiment"], r["subject"], r["unit"]),
                 ("pyperf", x["metadata"]["name"], "s"))
        check_eq(r["processes"], [y["values"] for y in x["runs"] if "values" in y])
        medians = [statistics.median(y["values"]) for y in x["runs"] if "values" in y]
        check_eq(r["samples"], medians)
    check_eq(run["machine"]["cpu"], original["metadata"]["cpu_model_name"])
    check_eq(run["time"], "2026-11-22T01:07:45")


@test
def what_came_from_a_tool_goes_back_byte_for_byte(place):
    for number, (kind, name) in enumerate(FILES, 1):
        place.run("import", data(name))
        check_eq(export(place, str(number), kind), text(data(name)))
        own = place.write("own.json", export(place, str(number), "json"))
        check_eq(export(place, own, kind), text(data(name)), "by way of heddle's JSON")


@test
def a_run_survives_the_way_through_every_format(place):
    run = measured(place, "--label", "first", "--seed", "18446744073709551615")
    check_eq(run["results"][0]["processes"][0], [19.1720851, 0.1, 1e-7])
    for kind in ("json",) + TOOLS:
        path = place.write("file.%s" % kind, export(place, "first", kind))
        check_eq(run_of(place, path), run, kind)
        r = place.run("import", path, "--db", "other-%s.db" % kind)
        check_in("kept as run 1", r.out)
        check_eq(run_of(place, "last", "--db", "other-%s.db" % kind), run, kind)
        check_in("there already as run 1", place.run("import", path).out)


@test
def from_one_tool_to_another(place):
    """What was read from one format is written in another, and its values are there."""
    for kind, name in FILES:
        run = run_of(place, data(name))
        for other in ("gbench", "json"):
            path = place.write("file.json", export(place, data(name), other))
            back = run_of(place, path)
            check_eq(back["results"], run["results"], "%s by %s" % (name, other))
    commands = json.loads(export(place, data("pyperf.json"), "hyperfine"))["results"]
    check_eq([x["command"] for x in commands],
             ["pyperf sum of a list time", "pyperf sorted time"])
    suite = json.loads(export(place, data("gbench.json"), "pyperf"))
    check_eq(len(suite["benchmarks"]), 9)
    copied = next(b for b in suite["benchmarks"]
                  if b["metadata"]["name"] == "gbench/BM_copy/64/real_time")
    check(close(copied["runs"][0]["values"][0] * 1e9, 2.9153858641852541e+01))


@test
def a_file_that_another_program_changed_is_another_run(place):
    run = measured(place)
    changed = json.loads(export(place, "last", "pyperf"))
    changed["benchmarks"][0]["runs"][0]["values"][0] = 5e-9
    path = place.write("changed.json", json.dumps(changed))
    back = run_of(place, path)
    check("uid" not in back)
    check(close(back["results"][0]["processes"][0][0], 5.0))
    check_eq(back["results"][0]["params"], run["results"][0]["params"])
    check_eq(back["results"][1], run["results"][1])
    changed = json.loads(export(place, "last", "hyperfine"))
    changed["results"][0]["times"][0] *= 2
    back = run_of(place, place.write("changed.json", json.dumps(changed)))
    check("uid" not in back)
    changed = json.loads(export(place, "last", "gbench"))
    del changed["benchmarks"][0]
    check("uid" not in run_of(place, place.write("changed.json", json.dumps(changed))))


@test
def a_format_without_words_for_a_result_says_so(place):
    place.subject("heddle", {"idle": "sample idle_cpu_percent percent 0",
                             "switch": "sample yield_ns ns 30"})
    place.lab("idle", "switch")
    r = place.run("export", "last", "--format", "pyperf")
    check_eq(r.status, 0, repr(r))
    check_in("1 of 2 results are left out: pyperf has no words for values of zero", r.err)
    back = run_of(place, place.write("file.json", r.out))
    check("uid" not in back, "it is not the whole run")
    place.lab("idle")
    r = place.run("export", "last", "--format", "pyperf")
    check_eq(r.status, 3, "nothing is left: %r" % r)
    r = place.run("export", "last", "--format", "hyperfine")
    check_eq(r.status, 3, "no time at all: %r" % r)


@test
def the_files_for_tools_have_what_these_read(place):
    measured(place)
    suite = json.loads(export(place, "last", "pyperf"))
    check_eq(suite["version"], "1.0")
    names = [b["metadata"]["name"] for b in suite["benchmarks"]]
    check_eq(len(names), len(set(names)))
    for b in suite["benchmarks"]:
        check_in(b["metadata"]["unit"], ("second", "byte", "integer"))
        for value in list(b["metadata"].values()) + list(suite["metadata"].values()):
            check(value != "" and "\n" not in str(value), value)
        check(all(v > 0 for x in b["runs"] for v in x["values"]))
    for entry in json.loads(export(place, "last", "gbench"))["benchmarks"]:
        check(entry["time_unit"] in ("ns", "us", "ms", "s"))
        check(entry["real_time"] >= 0 and entry["cpu_time"] >= 0 and entry["name"])
    for entry in json.loads(export(place, "last", "hyperfine"))["results"]:
        check(close(entry["mean"], statistics.mean(entry["times"])))
        check(abs(entry["stddev"] - statistics.stdev(entry["times"])) < 1e-9)
        check(entry["min"] <= entry["median"] <= entry["max"])


@test
def prometheus_text_is_well_formed(place):
    measured(place)
    seen, series, families = set(), set(), []
    line_of = re.compile(r'^([a-z_][a-z0-9_]*)'
                         r'\{((?:[a-z_][a-z0-9_]*="(?:[^"\\\n]|\\[\\"n])*",?)*)\}'
                         r' (-?[0-9.e+-]+|NaN)$')
    for line in export(place, "last", "prometheus").splitlines():
        if line.startswith("# HELP "):
            families.append(line.split()[2])
            check(families[-1] not in seen, "a family in two places")
            seen.add(families[-1])
        elif not line.startswith("# TYPE "):
            match = line_of.match(line)
            check(match, line)
            check_eq(match.group(1), families[-1])
            check(line.rsplit(" ", 1)[0] not in series, "twice: " + line)
            series.add(line.rsplit(" ", 1)[0])
    check_in('heddle_median{experiment="switch",variant="",subject="pthread",metric="yield_ns",'
             'unit="s"', "\n".join(series))


@test
def results_of_the_same_name_stay_apart(place):
    twice = {"results": [{"command": "true", "times": [1.5, 2]}, {"command": "true", "times": [3]}]}
    path = place.write("twice.json", json.dumps(twice))
    run = run_of(place, path)
    check_eq([r["samples"] for r in run["results"]], [[1.5, 2], [3]])
    names = [b["metadata"]["name"] for b in json.loads(export(place, path, "pyperf"))["benchmarks"]]
    check_eq(names, ["run/true/wall_s", "run/true/wall_s (2)"])
    lines = export(place, path, "prometheus").splitlines()
    series = [line.rsplit(" ", 1)[0] for line in lines if not line.startswith("#")]
    check_eq(len(series), len(set(series)))
    place.run("import", path)
    for kind in TOOLS:
        own = json.loads(export(place, "last", "json"))
        del own["source"], own["source_format"]
        heddles = place.write("heddles.json", json.dumps(own))
        back = run_of(place, place.write("back.json", export(place, heddles, kind)))
        check_eq(back["results"], run["results"], kind)


@test
def csv_and_html_come_from_the_store_too(place):
    measured(place, "--csv", "direct.csv")
    check_eq(export(place, "last", "csv"), text(place.path("direct.csv")))
    rows = list(csv.DictReader(io.StringIO(export(place, "last", "csv"))))
    check_eq(rows[0]["subject"], "heddle")
    r = place.run("export", "last", "--format", "html", "--output", "page.html")
    check_eq((r.status, r.out), (0, ""))
    check_in("<html", text(place.path("page.html")))


@test
def what_is_no_such_file_is_refused(place):
    good = json.loads(text(data("pyperf.json")))
    no_number = copy.deepcopy(good)
    no_number["benchmarks"][0]["runs"][1]["values"][0] = "fast"
    bad = {
        "empty": "", "text": "hello", "cut": text(data("gbench.json"))[:700], "list": "[1, 2]",
        "other": '{"results": []}', "nothing": '{"context": {}, "benchmarks": []}',
        "newer": '{"schema": 2, "results": []}', "number": json.dumps(no_number),
        "nan": '{"version": "1.0", "benchmarks": [{"runs": [{"values": [NaN]}]}]}',
        "packed": b"\x1f\x8b\x08\x00 and so on", "nul": b'{"version": "1.0\\u0000"}',
        "unequal": '{"schema": 1, "results": [{"samples": [1, 2], "processes": [[1]]}]}',
        "unit": '{"context": {}, "benchmarks": [{"name": "a", "real_time": 1, "time_unit": "h"}]}',
        "deep": "[" * 100000,
    }
    for name, content in bad.items():
        path = place.write(name, content)
        r = place.run("import", path)
        check_eq(r.status, 3, "%s: %r" % (name, r))
        check_in(path, r.err)
    check_eq(place.run("import", "not-there.json").status, 3)
    check_eq(place.run("import").status, 2)
    check_in("gunzip", place.run("import", place.path("packed")).err)
    check_in("schema is 2", place.run("import", place.path("newer")).err)
    r = place.run("import", place.path("cut"), data("hyperfine.json"))
    check_eq(r.status, 3)
    check_in("kept as run 1", r.out, "the good one among bad ones")


@test
def negative_times_are_refused(place):
    own = {"schema": 1, "results": [{
        "experiment": "run", "subject": "x", "metric": "wall_s", "unit": "s", "n": 2,
        "samples": [1, 2], "processes": [[1], [2, 2, -2.5]]}]}
    for name, content, part in (
            ("hyperfine", {"results": [{"command": "a b", "times": [1, -0.25]}]},
             "wall_s of 'a b' is negative: -0.25 s"),
            ("gbench", {"context": {}, "benchmarks": [
                {"name": "BM", "real_time": 1, "cpu_time": -2, "time_unit": "us"}]},
             "cpu_time of 'BM' is negative: -2 us"),
            ("pyperf", {"version": "1.0", "benchmarks": [
                {"metadata": {"name": "sum"}, "runs": [{"values": [1, 2, -3]}]}]},
             "time of 'sum' is negative: -3 s"),
            ("own", own, "wall_s of 'x' is negative: -2.5 s")):
        path = place.write(name, json.dumps(content))
        r = place.run("import", path)
        check_eq((r.status, r.out), (3, ""), repr(r))
        check_in(part, r.err)
    counter = {"context": {}, "benchmarks": [
        {"name": "BM", "real_time": 0, "cpu_time": 0, "time_unit": "us", "balance": -7}]}
    r = place.run("import", place.write("counter", json.dumps(counter)))
    check_eq(r.status, 0, "a counter is no time: %r" % r)


@test
def export_says_what_it_does_not_know(place):
    for args, word in ((("last",), "no store"), ((), "which run"), (("1", "2"), "one run"),
                       (("1", "--format", "xml"), "xml")):
        r = place.run("export", *args)
        check_eq(r.status, 2, repr(r))
        check_in(word, r.err)
    measured(place)
    r = place.run("export", "99")
    check_eq(r.status, 2)
    check_in("no run '99'", r.err)
    r = place.run("export", "last", "--output", "no/such/place")
    check_eq(r.status, 2)


@test
def standard_input_is_taken(place):
    with open(data("hyperfine.json")) as f:
        r = place.run("import", "-", stdin=f)
    check_in("hyperfine, 6 results, kept as run 1", r.out)


@test
def a_run_that_is_there_already_gets_the_label(place):
    path = data("hyperfine.json")
    check_in("kept as run 1\n", place.run("import", path).out)
    r = place.run("import", path, "--label", "newl")
    check_eq((r.status, r.err), (0, ""))
    check_in("there already as run 1, now labelled newl\n", r.out)
    check_eq(export(place, "newl", "hyperfine"), text(path))
    check_in("there already as run 1\n", place.run("import", path).out)
    check_in("newl", place.run("history").out, "without a label, the old one stays")


@test
def what_this_machines_hyperfine_writes_is_taken(place):
    hyperfine = shutil.which("hyperfine")
    if not hyperfine:
        raise Skip("there is no hyperfine here")
    path = place.path("fresh.json")
    subprocess.run([hyperfine, "-N", "--runs", "2", "true", "--export-json", path], check=True,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    run = run_of(place, path)
    original = json.loads(text(path))["results"][0]
    check_eq(run["results"][0]["samples"], original["times"])
    place.run("import", path)
    check_eq(export(place, "last", "hyperfine"), text(path))


@test
def pyperf_reads_what_is_written_for_it(place):
    """Debian has no pyperf; where there is one, it reads our file, writes it anew, and all of the
    run is still in it."""
    python = sys.executable
    if subprocess.run([python, "-m", "pyperf", "--help"], stdout=subprocess.DEVNULL,
                      stderr=subprocess.DEVNULL).returncode != 0:
        raise Skip("there is no pyperf here")
    run = measured(place)
    path = place.write("ours.json", export(place, "last", "pyperf"))
    other = place.path("theirs.json")
    subprocess.run([python, "-m", "pyperf", "convert", "--indent", "-o", other, path], check=True)
    check(text(path) != text(other), "it was written anew")
    check_eq(run_of(place, other), run)
    shown = subprocess.run([python, "-m", "pyperf", "show", "--quiet", path], check=True,
                           stdout=subprocess.PIPE).stdout.decode()
    check_in("switch/pthread/yield_ns", shown)

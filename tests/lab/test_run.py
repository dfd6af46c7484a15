# SPDX-License-Identifier: MIT
"""heddle run: commands, parameters, what is done around them, failures, streams."""

import fcntl
import json
import os
import pty
import signal
import termios
import time

import harness
from harness import Skip, alive, alone, check, check_eq, check_in, soon_dead, test, wait_for

METRICS = ["wall_s", "user_s", "sys_s", "max_rss_bytes", "minor_faults", "major_faults",
           "voluntary_switches", "involuntary_switches"]


def run(place, *args, **kinds):
    return place.run("run", "--no-store", "--quiet", *args, **kinds)


def run_json(place, *args, **kinds):
    r = run(place, "--json", "-", *args, **kinds)
    try:
        return r, json.loads(r.out)
    except ValueError as e:
        raise AssertionError("not JSON: %s\n%r" % (e, r))


def result(data, subject, metric="wall_s"):
    found = [x for x in data["results"] if x["subject"] == subject and x["metric"] == metric]
    check_eq(len(found), 1, "results of %s %s in %s" % (subject, metric, data["results"]))
    return found[0]


def subjects(data):
    return [s["name"] for s in data["subjects"]]


def script(place, name, text):
    """A program that appends its name and arguments to the log."""
    return place.write("bin/" + name, '#!/bin/sh\necho "%s $*" >> "$LOG"\n%s\n' % (name, text),
                       0o755)


def calls(place):
    with open(place.log_path) as f:
        return f.read().splitlines()


@test
def a_command_is_run_as_often_as_told(place):
    script(place, "work", "exit 0")
    r, data = run_json(place, "-r", "4", "-w", "2", "--", "work", "a b", "c")
    check_eq(r.status, 0, repr(r))
    check_eq(calls(place), ["work a b c"] * 6)
    check_eq(subjects(data), ["work 'a b' c"])
    check_eq(sorted(x["metric"] for x in data["results"]), sorted(METRICS))
    wall = result(data, "work 'a b' c")
    check_eq((wall["n"], wall["unit"], wall["better"]), (4, "s", "lower"))
    check_eq(wall["samples"], [p[0] for p in wall["processes"]])
    check(all(x > 0 for x in wall["samples"]), wall["samples"])


@alone
def the_time_of_a_run_is_that_of_the_command(place):
    r, data = run_json(place, "-r", "3", "--", "sleep", "0.05")
    wall = result(data, "sleep 0.05")
    check(wall["min"] >= 0.05, wall)
    check(result(data, "sleep 0.05", "user_s")["median"] < 0.05)
    check(result(data, "sleep 0.05", "voluntary_switches")["min"] >= 1)


@alone
def what_a_command_uses_is_counted(place):
    python = "/usr/bin/python3"
    small = "import time; time.sleep(0.001)"
    large = "x = bytearray(100 << 20); import time; t = time.process_time() + 0.05\n" \
            "while time.process_time() < t: pass"
    r, data = run_json(place, "-r", "3", "-n", "small", "-n", "large", "--", python, "-c", small,
                       "--vs", python, "-c", large)
    check_eq(r.status, 0, repr(r))
    more = result(data, "large", "max_rss_bytes")["min"] - \
        result(data, "small", "max_rss_bytes")["max"]
    check(90e6 < more < 150e6, more)
    cpu = result(data, "large", "user_s")["min"] + result(data, "large", "sys_s")["min"]
    check(cpu > 0.02, cpu)
    faults = result(data, "large", "minor_faults")["min"]
    check(faults > result(data, "small", "minor_faults")["max"], faults)


@test
def memory_of_heddle_is_not_charged_to_a_command(place):
    with open(harness.HEDDLE, "rb") as f:
        if b"__asan_init" in f.read():
            raise Skip("the memory of AddressSanitizer is the helper's too")
    r, data = run_json(place, "-r", "3", "--", "/bin/true")
    check(result(data, "/bin/true", "max_rss_bytes")["median"] < 4e6, data["results"])


@test
def the_least_memory_is_told_as_the_table_has_it(place):
    r = run(place, "-r", "5", "/bin/true", "/bin/echo", "--json", "out.json")
    check_eq(r.status, 0, repr(r))
    with open(place.path("out.json")) as f:
        data = json.load(f)
    notes = [n for n in data["notes"] if n["key"] == "max-rss"]
    if not notes:
        raise Skip("these commands have more memory than the helper")
    for n in notes:
        size = result(data, n["subject"], "max_rss_bytes")["median"]
        check_in("at most the %.3g MB" % (size / 1e6), n["text"].replace("0 MB", " MB"))
    if len(notes) == 2:
        row = [x.split() for x in r.out.splitlines() if x.startswith("max RSS  ")][0]
        check_eq(row[-2:], ["-", "undecided"])


@test
def commands_take_turns_in_mirrored_pairs(place):
    for name in "abc":
        script(place, name, "exit 0")
    run(place, "-r", "6", "-w", "0", "a", "b", "c")
    order = [line.split()[0] for line in calls(place)]
    check_eq(len(order), 18)
    for i in range(0, 18, 6):
        check_eq(sorted(order[i:i + 3]), ["a", "b", "c"])
        check_eq(order[i:i + 3], order[i + 3:i + 6][::-1], str(order))


@test
def one_by_one_ends_a_command_before_the_next(place):
    for name in "ab":
        script(place, name, "exit 0")
    run(place, "-r", "3", "-w", "1", "--one-by-one", "--setup", "echo setup >> $LOG",
        "--cleanup", "echo cleanup >> $LOG", "a", "b")
    check_eq([line.split()[0] for line in calls(place)],
             ["setup"] + ["a"] * 4 + ["cleanup", "setup"] + ["b"] * 4 + ["cleanup"])


@test
def commands_come_as_words_lines_and_options(place):
    line = "true  'a b' \"c\\\"d\" e\\ f"
    r, data = run_json(place, "-r", "1", "-w", "0", line, "--vs", "true 2", "--", "true", "3 4",
                       "--vs", "true", "{}", "--vs", "true")
    check_eq(r.status, 0, repr(r))
    check_eq(subjects(data), [line, "true 2", "true '3 4'", "true {}", "true"])
    script(place, "words", 'for w; do echo "[$w]" >> "$LOG"; done')
    run(place, "-r", "1", "-w", "0", "words 'a b' \"c\\\"d\" e\\ f ''")
    check_eq(calls(place)[1:], ["[a b]", "[c\"d]", "[e f]", "[]"])


@test
def what_only_a_shell_understands_is_refused(place):
    script(place, "never", "exit 0")
    for line, part in (("never | cat", "'|'"), ("never > x", "'>'"), ("never $HOME", "'$'"),
                       ("never \"$HOME\"", "'$'"), ("never *", "'*'"), ("never; never", "';'"),
                       ("never ~", "'~'"), ("never 'x", "does not end"), ("", "no command"),
                       ("never\nnever", "several lines")):
        r = run(place, line)
        check_eq(r.status, 2, "%r: %r" % (line, r))
        check_in(part, r.err, line)
    check_eq(place.calls(), [])


@test
def a_shell_runs_what_it_is_given(place):
    r, data = run_json(place, "-r", "2", "-w", "0", "--shell", "default",
                       "echo $((20 + 2)) >> $LOG; true | cat", "--", "echo 33 >> $LOG", "--vs",
                       "echo", "4 4")
    check_eq(r.status, 0, repr(r))
    check_eq(sorted(calls(place)), ["22", "22", "33", "33"])
    check_eq(subjects(data)[2], "echo '4 4'")
    check([n for n in data["notes"] if n["key"] == "shell" and "shell's own" in n["text"]],
          data["notes"])
    r, data = run_json(place, "-r", "1", "-S", "/bin/sh -e", "false; true", "-i")
    check_eq(r.status, 0, repr(r))
    check_eq(run(place, "-r", "1", "-S", "none", "true").status, 0)
    check_eq(run(place, "-r", "1", "-S", "'", "true").status, 2)


@test
def a_shell_that_is_not_there_is_named(place):
    r, data = run_json(place, "-r", "2", "-S", "no-such-{s}", "-L", "s=shell,thing", "echo")
    check_eq(r.status, 3, repr(r))
    check_eq([f["reason"].split(":")[0] for f in data["failures"]],
             ["the shell 'no-such-shell'",
              "the shell 'no-such-thing'"])
    check_in("the shell 'no-such-shell'", r.err)


@test
def parameters_are_combined(place):
    script(place, "work", "exit 0")
    r, data = run_json(place, "-r", "1", "-w", "0", "-L", "a=1,2", "-L", "b=x,y\\,z", "-L", "c=",
                       "--", "work", "{a}-{b}", "{c}", "{d}", "--vs", "work", "{a}", "--vs", "true")
    check_eq(r.status, 0, repr(r))
    check_eq(subjects(data), ["work 1-x '' {d}", "work 1-y,z '' {d}", "work 2-x '' {d}",
                              "work 2-y,z '' {d}", "work 1", "work 2", "true"])
    check_eq(sorted(calls(place)), sorted(["work 1-x  {d}", "work 1-y,z  {d}", "work 2-x  {d}",
                                           "work 2-y,z  {d}", "work 1", "work 2"]))
    check_eq(result(data, "work 2-y,z '' {d}")["params"], {"a": 2, "b": "y,z", "c": ""})
    check_eq(result(data, "true")["params"], {})


@test
def parameter_values_keep_their_spelling(place):
    for value, seen in (("1.50", 1.5), ("007", "007"), ("-3", -3), ("1e3", 1000.0), (".5", ".5"),
                        ("5.", "5."), ("+1", "+1"), ("x1", "x1"), ("1e", "1e"), ("0x10", "0x10")):
        r, data = run_json(place, "-r", "1", "-w", "0", "-L", "v=" + value, "true {v}")
        check_eq(r.status, 0, repr(r))
        check_eq(result(data, "true " + value)["params"]["v"], seen, value)


@test
def parameters_have_ranges(place):
    for text, values in (("1..3", [1, 2, 3]), ("0,10..50..20,7", [0, 10, 30, 50, 7]),
                         ("2..-1", [2, 1, 0, -1]), ("1..8..3", [1, 4, 7]), ("5..5", [5]),
                         ("9..0..4", [9, 5, 1]), ("1\\..3", ["1..3"]), ("a..c", ["a..c"]),
                         ("1..", ["1.."]), ("1..2..x", ["1..2..x"]), ("1...3", ["1...3"]),
                         ("01..03", ["01..03"]), ("1.5..2", ["1.5..2"])):
        r, data = run_json(place, "-r", "1", "-w", "0", "-L", "v=" + text, "true {v}")
        check_eq(r.status, 0, repr(r))
        check_eq([result(data, s)["params"]["v"] for s in subjects(data)], values, text)


@test
def wrong_usage_of_run_is_refused(place):
    script(place, "never", "exit 0")
    for args, part in (
            ([], "which command?"), (["--"], "which command?"),
            (["--", "--vs", "never"], "no command before '--vs'"),
            (["--", "never", "--vs"], "no command after '--vs'"),
            (["--runs", "0", "never"], "--runs: '0'"),
            (["--seconds", "nan", "never"], "not a number of seconds"),
            (["-r", "3", "-m", "5", "never"], "goes without --min-runs"),
            (["-r", "3", "-M", "5", "never"], "goes without --min-runs and --max-runs"),
            (["--max-runs", "3", "never"], "--max-runs 3 is less than --min-runs 10"),
            (["--margin", "x", "never"], "not a percentage"),
            (["-L", "a", "never"], "is not name=value"),
            (["-L", "a=1,2,1", "never {a}"], "a has the value '1' twice"),
            (["-L", "a=7,6..8", "never {a}"], "a has the value '7' twice"),
            (["-L", "a=1..9..0", "never {a}"], "the step of '1..9..0' is not above 0"),
            (["-L", "a=1..999999999999999999", "never {a}"], "has too many values"),
            (["-L", "a=1", "never"], "no command has {a} in it"),
            (["-L", "a=1", "-L", "a=2", "never {a}"], "'a' is given twice"),
            (["-p", "true", "-p", "true", "-p", "true", "never", "never"],
             "--prepare is given 3 times, for 2 commands"),
            (["-n", "x", "never", "never"], "--name is given once, for 2 commands"),
            (["--input", "nothing-there", "never"], "cannot open 'nothing-there'"),
            (["--output", "no/such/file", "never"], "cannot open 'no/such/file'"),
            (["--csv", "a", "--json", "a", "never"], "two reports cannot go to 'a'"),
            (["--json", "", "never"], "needs a file name"),
            (["--vs"], "a value must follow"), (["--warm"], "unknown option")):
        r = run(place, *args)
        check_eq(r.status, 2, "%s: %r" % (args, r))
        check_in(part, r.err, str(args))
    check_eq(place.calls(), [], "something was run")


@test
def names_are_unique(place):
    r, data = run_json(place, "-r", "1", "-w", "0", "true", "true", "true")
    check_eq(subjects(data), ["true", "true (2)", "true (3)"])
    r, data = run_json(place, "-r", "1", "-w", "0", "-L", "a=1,2", "-n", "x", "-n", "y {a}",
                       "true {a}", "true {a}")
    check_eq(subjects(data), ["x (a=1)", "x (a=2)", "y 1", "y 2"])
    r, data = run_json(place, "-r", "1", "-w", "0", "-L", "a=1", "-n", "x", "-n", "x", "-n", "x",
                       "true {a}", "true {a}", "true")
    check_eq(subjects(data), ["x (a=1)", "x (a=1) (2)", "x"])
    r, data = run_json(place, "-r", "1", "-w", "0", "-L", "a=1", "true {a}", "true {a}")
    check_eq(subjects(data), ["true 1", "true 1 (2)"])



@test
def what_is_done_around_runs(place):
    script(place, "work", "exit 0")
    r = run(place, "-r", "2", "-w", "1", "-L", "n=1,2", "--setup", "echo setup {n} >> $LOG",
            "--prepare", "echo prepare {n} >> $LOG; echo seen", "--cleanup",
            "echo cleanup {n} >> $LOG", "work {n}")
    check_eq(r.status, 0, repr(r))
    check("seen" not in r.out, r.out)
    lines = calls(place)
    check_eq(lines[:2], ["setup 1", "setup 2"])
    check_eq(lines[-2:], ["cleanup 1", "cleanup 2"])
    for before, line in zip(lines[2:-2:2], lines[3:-2:2]):
        check_eq(before.split()[0], "prepare")
        check_eq(line, before.replace("prepare", "work"))
    check_eq(lines.count("work 1"), 3)


@test
def each_command_has_its_own_preparation(place):
    for name in "ab":
        script(place, name, "exit 0")
    run(place, "-r", "1", "-w", "0", "-p", "echo for a >> $LOG", "-p", "echo for b >> $LOG", "a",
        "b")
    lines = calls(place)
    check_eq(sorted(zip(lines[::2], lines[1::2])), [("for a", "a "), ("for b", "b ")])


@test
def a_failure_is_reported_and_the_others_measured(place):
    script(place, "bad", "exit 7")
    script(place, "dies", "kill -SEGV $$")
    r, data = run_json(place, "-r", "3", "-w", "0", "bad", "true", "no-such-program", "dies")
    check_eq(r.status, 3, repr(r))
    check_eq(result(data, "true")["n"], 3)
    reasons = {f["subject"]: f["reason"] for f in data["failures"]}
    check_eq(sorted(reasons), ["bad", "dies", "no-such-program"])
    check_in("status 7", reasons["bad"])
    check_in("SIGSEGV", reasons["dies"])
    check_in("No such file or directory", reasons["no-such-program"])
    check_eq(calls(place), ["bad ", "dies "], "tried again")
    r, data = run_json(place, "-r", "3", "-w", "0", "-i", "bad", "dies")
    check_eq([f["subject"] for f in data["failures"]], ["dies"], "a crash is no exit status")
    check_eq(result(data, "bad")["n"], 3)


@test
def failing_preparations_are_failures(place):
    script(place, "never", "exit 0")
    for option in ("--setup", "--prepare"):
        r, data = run_json(place, "-r", "2", option, "exit 4", "never")
        check_eq(r.status, 3, repr(r))
        check_eq(data["results"], [])
        check_in(option + ": ended with status 4", data["failures"][0]["reason"])
    check_eq(place.calls(), [])
    r, data = run_json(place, "-r", "2", "--cleanup", "exit 5", "true")
    check_eq(r.status, 3, repr(r))
    check_eq(result(data, "true")["n"], 2, "the runs were good")


@test
def a_run_has_a_time_limit(place):
    r, data = run_json(place, "-r", "2", "--timeout", "0.3", "sleep 98.7654321", "true")
    check_eq(r.status, 3, repr(r))
    check_in("did not end within 0.3 s", data["failures"][0]["reason"])
    check_eq(result(data, "true")["n"], 2)
    check(soon_dead("98.7654321"), "it still runs")


@test
def what_is_done_around_runs_has_a_time_limit(place):
    for option in ("--setup", "--prepare", "--cleanup"):
        r, data = run_json(place, "-r", "2", "--timeout", "0.3", option, "sleep 91.7654321", "true")
        check_eq(r.status, 3, repr(r))
        check_in(option + ": did not end within 0.3 s", data["failures"][0]["reason"])
        check_eq(len(data["results"]) > 0, option == "--cleanup", option)
        check(soon_dead("91.7654321"), option + ": it still runs")


@test
def what_a_command_leaves_behind_is_killed(place):
    script(place, "leave", "sleep 97.1234567 &")
    r = run(place, "-r", "2", "leave")
    check_eq(r.status, 0, repr(r))
    check(soon_dead("97.1234567"), "it still runs")


@test
def a_server_that_a_preparation_starts_stays(place):
    r = run(place, "-r", "2", "--setup", "sleep 96.7654321 & echo $! > pid", "--prepare",
            "kill -0 $(cat pid)", "--cleanup", "kill $(cat pid)", "true")
    check_eq(r.status, 0, repr(r))
    check(soon_dead("96.7654321"), "--cleanup did not end it")


@test
def interrupted_runs_are_reported(place):
    script(place, "work", "exit 0")
    script(place, "hang", "[ $(grep -c hang $LOG) -lt 4 ] || exec sleep 95.4321987")
    p = place.start("run", "--no-store", "-w", "0", "-r", "50", "--json", "-", "hang", "work")
    wait_for(lambda: alive("95.4321987"))
    p.send_signal(signal.SIGINT)
    out, err = p.communicate(timeout=20)
    data = json.loads(out.decode())
    check_eq(p.returncode, 130, err)
    check(data["interrupted"])
    check_eq(result(data, "hang")["n"], 3)
    check(soon_dead("95.4321987"), "it still runs")


@test
def what_was_set_up_is_cleaned_up_after_an_interrupt(place):
    script(place, "hang", "exec sleep 93.4321987")
    script(place, "setup", '[ "$1" = 1 ] || exec sleep 93.5432198')
    cleanup = "echo begin {n} >> $LOG; sleep 0.3; echo cleanup {n} >> $LOG"
    for sig in (signal.SIGINT, signal.SIGTERM):
        for setup, sleep in (("true", "93.4321987"), ("setup {n}", "93.5432198")):
            p = place.start("run", "--no-store", "--quiet", "-L", "n=1,2", "-w", "0", "--setup",
                            setup, "--cleanup", cleanup, "hang {n}")
            wait_for(lambda: alive(sleep))
            p.send_signal(sig)
            out, err = p.communicate(timeout=20)
            check_eq(p.returncode, 128 + sig, err)
            check_eq([s.split()[1] for s in calls(place) if s.startswith("cleanup")],
                     ["1", "2"])
            check(soon_dead(sleep), "it still runs")
            os.unlink(place.log_path)


@test
def what_was_not_set_up_is_not_cleaned_up(place):
    script(place, "setup", "exec sleep 93.6543219")
    p = place.start("run", "--no-store", "--quiet", "-L", "n=1,2", "--setup", "setup {n}",
                    "--cleanup", "echo cleanup {n} >> $LOG", "true {n}")
    wait_for(lambda: alive("93.6543219"))
    os.kill(p.pid, signal.SIGINT)
    p.communicate(timeout=20)
    check_eq(p.returncode, 130)
    check_eq(calls(place), ["setup 1", "cleanup 1"])


@test
def a_second_interrupt_ends_a_cleanup(place):
    script(place, "hang", "exec sleep 92.4321987")
    p = place.start("run", "--no-store", "--quiet", "--cleanup", "exec sleep 92.5432198", "hang")
    wait_for(lambda: alive("92.4321987"))
    p.send_signal(signal.SIGINT)
    wait_for(lambda: alive("92.5432198"))
    for _ in range(40):  # one that comes within 200 ms of the first is taken for it
        if p.poll() is None:
            p.send_signal(signal.SIGINT)
            time.sleep(0.1)
    p.communicate(timeout=20)
    check_eq(p.returncode, -signal.SIGINT)
    check(soon_dead("92.5432198"), "it still runs")


@test
def a_killed_heddle_leaves_nothing_behind(place):
    p = place.start("run", "--no-store", "sleep 94.9876543")
    wait_for(lambda: alive("94.9876543"))
    p.kill()
    p.wait()
    check(soon_dead("94.9876543"), "it still runs")


@test
def a_long_run_shows_progress(place):
    r = place.run("run", "--no-store", "-r", "1", "-w", "0", "sleep 2.5")
    check_eq(r.status, 0, repr(r))
    check_in("heddle: run 1, 0 %: sleep 2.5", r.err)
    check_eq(run(place, "-r", "1", "true").err, "")


@test
def streams_go_where_told(place):
    place.write("in", "some input\n")
    script(place, "say", "cat; echo to err >&2")
    say = "say"
    r = run(place, "-r", "2", "-w", "0", say)
    check("to err" not in r.err and "to err" not in r.out, repr(r))
    r = run(place, "-r", "2", "-w", "0", "--input", "in", "--output", "out", say)
    with open(place.path("out")) as f:
        check_eq(f.read(), "some input\n" * 2)
    check_eq(r.err.count("to err"), 2)
    r = run(place, "-r", "2", "-w", "0", "--input", "in", "--show-output", say)
    check_eq(r.out.count("some input"), 2, "every run reads all of it: " + r.out)
    check_eq(r.err.count("to err"), 2)


@test
def who_wants_the_terminal_does_not_wait_forever(place):
    controller, terminal = pty.openpty()

    def own_terminal():
        os.setsid()
        fcntl.ioctl(terminal, termios.TIOCSCTTY, 0)
    try:
        r, data = run_json(place, "-r", "2", "--", "sh", "-c", "read line < /dev/tty", "--vs",
                           "true", preexec_fn=own_terminal)
    finally:
        os.close(controller)
        os.close(terminal)
    check_eq(r.status, 3, repr(r))
    check_in("SIGTTIN", data["failures"][0]["reason"])
    check_eq(result(data, "true")["n"], 2)


@test
def a_pipe_takes_any_amount(place):
    r, data = run_json(place, "-r", "2", "--output", "pipe", "head -c 3000000 /dev/zero")
    check_eq(r.status, 0, repr(r))
    check_eq(result(data, "head -c 3000000 /dev/zero")["n"], 2)


@alone
def the_table_compares_with_the_first(place):
    r = run(place, "-r", "6", "sleep 0.001", "sleep 0.1", "sleep 0.0011")
    check_eq(r.status, 0, repr(r))
    for line in r.out.splitlines():
        check(len(line) < 80, "too wide: %r" % line)
    check_in("2 beside 1", r.out)
    check_in("3 beside 1", r.out)
    check_in("p adjusted over all 16 comparisons.", r.out)
    row = [line for line in r.out.splitlines() if line.startswith("   2 ") and "ms" in line][0]
    check_in("slower", row)


@test
def every_run_can_be_a_row(place):
    r = run(place, "-r", "3", "-w", "0", "--samples", "-", "-L", "n=1,2", "true {n}")
    check_eq(r.status, 0, repr(r))
    lines = r.out.splitlines()
    check_eq(len([line for line in lines if ",wall_s," in line]), 6)
    check_eq(len([line for line in lines if "n=2" in line and ",wall_s," in line]), 3, r.out)


@alone
def the_page_of_commands_speaks_of_commands(place):
    r = run(place, "-r", "5", "-L", "n=1,30", "--html", "-", "sleep 0.0{n}")
    check_eq(r.status, 0, repr(r)[:1000])
    for part in ("Commands, measured", "heddle run --no-store --quiet -r 5", "vs sleep 0.01",
                 "slower"):
        check(part in r.out, part)
    for part in ("bare switch", "heddle lab run", "did other work"):
        check(part not in r.out, part)


@test
def a_run_is_kept_with_label_and_commit(place):
    db = place.path("results.db")
    r = place.run("run", "--quiet", "--db", db, "--label", "first", "-r", "2", "true")
    check_eq(r.status, 0, repr(r))
    check(os.path.getsize(db) > 0)
    check_in("Kept as run 1", r.out)
    r = place.run("run", "--quiet", "--no-store", "-r", "2", "true")
    check("Kept" not in r.out, r.out)


@alone
def runs_go_on_until_there_are_enough(place):
    r, data = run_json(place, "-w", "0", "--seconds", "0.001", "sleep 0.001")
    check_eq(result(data, "sleep 0.001")["n"], 10)
    r, data = run_json(place, "-w", "0", "--seconds", "0.3", "--min-runs", "1", "sleep 0.1")
    check(2 <= result(data, "sleep 0.1")["n"] <= 3, data["results"][0]["n"])
    r, data = run_json(place, "-w", "0", "--seconds", "60", "--max-runs", "12", "true")
    check_eq(result(data, "true")["n"], 12)
    r, data = run_json(place, "-w", "0", "--seconds", "0.001", "--min-runs", "3", "true", "true")
    check_eq(result(data, "true")["n"], 4, "pairs of rounds are ended")


@test
def heddle_lab_does_not_run_commands(place):
    place.subject("heddle")
    r = place.run("lab", "run")
    check_eq(r.status, 2, repr(r))
    check_in("'run' is measured by 'heddle run'", r.err)

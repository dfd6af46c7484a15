# SPDX-License-Identifier: MIT
"""The command line: help, wrong options, unknown names, closed streams."""

import os
import re
import subprocess

import harness
from harness import Skip, check, check_eq, check_in, test


def check_refused(place, args, part):
    r = place.run(*args)
    check_eq(r.status, 2, "%s: %r" % (args, r))
    check_eq(r.out, "", "%s says something on standard output" % (args,))
    check_in(part, r.err, str(args))
    check_eq(place.calls(), [], "%s measured something" % (args,))


@test
def no_command_is_wrong_usage(place):
    check_refused(place, [], "Usage: heddle COMMAND")


@test
def unknown_commands_are_refused(place):
    check_refused(place, ["gap"], "there is no command 'gap'")
    check_refused(place, ["--gap"], "there is no command '--gap'")
    check_refused(place, ["help", "gap"], "there is no command 'gap'")


@test
def help_is_everywhere_and_narrow(place):
    for args in (["help"], ["--help"], ["-h"], ["help", "lab"], ["lab", "--help"], ["lab", "-h"],
                 ["help", "subjects"], ["subjects", "--help"], ["help", "help"],
                 ["help", "--help"], ["version", "--help"], ["lab", "--list"],
                 ["lab", "--quick", "--help"], ["machine", "--help"]):
        r = place.run(*args)
        check_eq(r.status, 0, "%s: %r" % (args, r))
        check_eq(r.err, "")
        check(r.out.strip(), "%s says nothing" % (args,))
        for line in r.out.splitlines():
            check(len(line) <= 80, "%s: too wide: %r" % (args, line))


@test
def version_is_printed(place):
    for word in ("version", "--version", "-V"):
        r = place.run(word)
        check_eq(r.status, 0)
        check(re.match(r"heddle \d+\.\d+\.\d+\n$", r.out), repr(r))
    check_refused(place, ["version", "2"], "nothing may follow")


@test
def wrong_options_are_refused(place):
    place.subject("heddle")
    for args, part in (
            (["--fast"], "unknown option '--fast'"),
            (["-x"], "unknown option '-x'"),
            (["--qui"], "unknown option '--qui'"),
            (["--quick=yes"], "no value may follow"),
            (["--threads"], "a value must follow '--threads'"),
            (["--threads", "many"], "'many' is not a number"),
            (["switch", "--threads", "1"], "--threads: switch needs at least 2"),
            (["--threads", "0"], "'0' is not a number from 1"),
            (["--threads", "-1"], "'-1' is not a number"),
            (["--threads", "1e3"], "'1e3' is not a number"),
            (["--threads", "99999999999999999999999"], "is not a number"),
            (["--threads", ""], "is not a number"),
            (["--stack-size", "64Q"], "'64Q' is not a number"),
            (["--stack-size", "64KB"], "'64KB' is not a number"),
            (["--stack-size", "18446744073709551615G"], "is not a number"),
            (["--repeat", "0"], "--repeat: '0'"),
            (["--timeout", "0"], "is not a number of seconds"),
            (["--timeout", "-3"], "is not a number of seconds"),
            (["--timeout", "nan"], "is not a number of seconds"),
            (["--timeout", "2s"], "is not a number of seconds"),
            (["--budget", "inf"], "is not a number of seconds"),
            (["--seed", "x"], "--seed: 'x'"),
            (["--quick", "--full"], "exclude each other"),
            (["--csv", ""], "needs a file name"),
            (["--csv", "-", "--json", "-"], "two reports cannot go to '-'"),
            (["--csv", "a", "--json", "a"], "two reports cannot go to 'a'"),
            (["switch", "--leaves", "10"], "none of the chosen experiments has it")):
        check_refused(place, ["lab"] + args, part)
    check_refused(place, ["subjects", "--all"], "unknown option '--all'")
    check_refused(place, ["subjects", "heddle"], "unexpected 'heddle'")


@test
def unknown_experiments_are_refused_with_a_list(place):
    place.subject("heddle")
    check_refused(place, ["lab", "swich"], "there is no experiment 'swich'; there are: switch")
    check_refused(place, ["lab", "switch", "swich"], "there is no experiment 'swich'")
    check_refused(place, ["lab", "--", "--quick"], "there is no experiment '--quick'")


@test
def unknown_subjects_are_refused_with_a_list(place):
    place.subject("heddle")
    for name in ("hedle", "nobody*", "heddle,nobody"):
        check_refused(place, ["lab", "switch", "--subject", name], "nobody here is called")
    check_refused(place, ["lab", "switch", "--subject", "hedle"], " heddle")
    check_refused(place, ["lab", "--subject", ","], "the list is empty")
    check_refused(place, ["lab", "--subject", "/no/such/python"], "there is no program")
    check_refused(place, ["lab", "--subject", place.root], "there is no program")


@test
def unwritable_files_are_refused_before_measuring(place):
    place.subject("heddle")
    os.mkdir(place.path("directory"))
    place.write("file", "")
    for option in ("--csv", "--json"):
        for name, part in (("no/such/directory/x", "No such file or directory"),
                           ("directory", "Is a directory"),
                           ("file/x", "Not a directory"),
                           ("/proc/heddle-lab", "")):
            args = ["lab", "switch", "--subject", "heddle", "--csv", "good.csv", option, name]
            if option == "--csv":
                args = ["lab", "switch", "--subject", "heddle", "--json", "good", option, name]
            check_refused(place, args, "cannot write '%s'" % name)
            check_refused(place, args, part)
    left = sorted(n for n in os.listdir(place.root) if n.startswith("good"))
    check_eq(left, [], "something was left behind")


@test
def a_pipe_needs_a_reader(place):
    place.subject("heddle")
    fifo = place.path("pipe")
    os.mkfifo(fifo)
    check_refused(place, ["lab", "switch", "--subject", "heddle", "--json", "pipe"],
                  "cannot write 'pipe': nobody has opened the pipe to read from it")
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    try:
        r = place.lab("switch", "--json", "pipe")
        check_eq(r.status, 0, repr(r))
        check_in('"schema": 1', os.read(reader, 65536).decode())
    finally:
        os.close(reader)


@test
def the_list_has_the_parameters_of_variants(place):
    r = place.run("lab", "--list")
    for part in (" work=fib n=27\n", " work=skynet leaves=100000 workers=all\n",
                 "variant: busy\n"):
        check_in(part, r.out)


@test
def a_read_only_file_is_refused(place):
    if os.geteuid() == 0:
        raise Skip("root may write everything")
    place.subject("heddle")
    place.write("kept", "old", 0o444)
    check_refused(place, ["lab", "switch", "--subject", "heddle", "--csv", "kept"],
                  "Permission denied")


@test
def a_full_disk_is_reported(place):
    place.subject("heddle")
    with open("/dev/full", "w") as full:
        r = place.lab("switch", stdout=full)
        check_eq(r.status, 3, repr(r))
        check_in("cannot write to standard output: No space left", r.err)
        r = place.lab("switch", "--json", "-", stdout=full)
        check_eq(r.status, 3, repr(r))
        r = place.run("help", stdout=full)
        check_eq(r.status, 3, repr(r))
    r = place.lab("switch", "--csv", "/dev/full")
    check_eq(r.status, 3, repr(r))
    check_in("cannot write '/dev/full': No space left", r.err)
    check_in("x bare", r.out, "the table is missing")


@test
def closed_streams_do_no_harm(place):
    place.subject("heddle")
    command = [harness.HEDDLE, "lab", "switch", "--subject", "heddle", "--repeat", "2",
               "--json", "result"]

    def run(redirections):
        line = 'exec "$0" "$@" ' + redirections
        return subprocess.run(["/bin/sh", "-c", line] + command, cwd=place.root, env=place.env,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=30)
    for redirections, status in (("<&-", 0), ("2>&-", 0), ("<&- 2>&-", 0), (">&-", 3),
                                 ("<&- >&- 2>&-", 3)):
        r = run(redirections)
        check_eq(r.returncode, status, "%s: %r" % (redirections, r))
        with open(place.path("result")) as f:
            check_in('"schema": 1', f.read())
        os.unlink(place.path("result"))


@test
def parameters_reach_the_subjects(place):
    place.subject("heddle")
    r = place.lab("lifecycle", "--threads", "50", "--stack-size", "64K", "--sleep-us=7",
                  "--samples", "2", "--workers", "1", "--repeat", "1")
    check_eq(r.status, 0, repr(r))
    check_eq(place.calls()[0], "heddle lifecycle --threads 50 --stack-size 65536 --sleep-us 7 "
                               "--workers 1 --samples 2".split())
    check_in("threads 50, stack-size 65536, sleep-us 7, workers 1; 1 process each", r.out)


@test
def a_variant_that_an_option_makes_equal_falls_out(place):
    place.subject("heddle")
    place.lab("forkjoin", "--workers", "3", "--repeat", "1")
    check_eq([c[c.index("--work") + 1] for c in place.calls()], ["fib", "skynet"])
    check_eq([c[c.index("--workers") + 1] for c in place.calls()], ["3", "3"])


@test
def what_was_perhaps_meant_is_said(place):
    for args, meant in ((["run", "--export-json", "x", "true"], "is --json meant?"),
                        (["run", "--wramup", "3", "true"], "is --warmup meant?"),
                        (["lab", "--subjects=x"], "is --subject meant?"),
                        (["lab", "--therads", "2"], "is --threads meant?"),
                        (["histroy"], "is 'history' meant?"),
                        (["export", "1", "-f", "md"], "there are json, csv, text, markdown,")):
        r = place.run(*args)
        check_eq(r.status, 2, "%s: %r" % (args, r))
        check_in(meant, r.err)
    for args in (["run", "--foo", "true"], ["run", "--o", "x"], ["run", "--" + "x" * 200],
                 ["xyz"], ["run", "--"]):
        r = place.run(*args)
        check_eq(r.status, 2, "%s: %r" % (args, r))
        check("meant" not in r.err, r.err)


@test
def a_baseline_that_judges_itself_is_told(place):
    check_eq(place.run("run", "-r", "3", "true").status, 0)
    check_eq(place.run("gate", "-b", "main", "--set").status, 0)
    r = place.run("gate", "-b", "main")
    check_eq(r.status, 0, repr(r))
    check_in("is the baseline itself: nothing can differ", r.out)
    check_eq(place.run("run", "-r", "3", "true").status, 0)
    check("itself" not in place.run("gate", "-b", "main", "--slower", "1000%").out)

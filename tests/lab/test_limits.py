# SPDX-License-Identifier: MIT
"""The bench programs' `limits`: which limit it met, and that others keep their part.

Nothing here is driven to a limit that anybody else is held to: control groups, users and
namespaces are made for the test alone."""

import os
import re
import resource
import shutil
import subprocess
import tempfile

import harness
from harness import Skip, check, check_eq, check_in, test

NOBODY = 54321  # a user that has no process


def program(name="pthread"):
    here = os.path.dirname(harness.HEDDLE)
    for folder in ("bench", "libexec/heddle"):
        path = os.path.join(here, "..", folder, "heddle-bench-" + name)
        if os.path.exists(path):
            return os.path.abspath(path)
    raise Skip("no heddle-bench-%s beside the command" % name)


def limits(*args, **kinds):
    """Values and notes of a run of the workload."""
    name = kinds.pop("subject", "pthread")
    p = subprocess.run([program(name), "limits"] + list(args), stdout=subprocess.PIPE,
                       stderr=subprocess.STDOUT, timeout=60, **kinds)
    out = p.stdout.decode()
    values = {m[0]: float(m[1]) for m in re.findall(r"^sample (\S+) \S+ (\S+)$", out, re.M)}
    notes = dict(re.findall(r"^note (\S+) (.*)$", out, re.M))
    return p.returncode, values, notes, out


class Group:
    """A control group of the pids controller, of version 1 or 2, that holds nobody."""

    def __init__(self, most):
        roots = ["/sys/fs/cgroup/pids", "/sys/fs/cgroup"]
        for root in roots:
            try:
                self.path = tempfile.mkdtemp(prefix="heddle-test-", dir=root)
            except OSError:
                continue
            try:
                with open(os.path.join(self.path, "pids.max"), "w") as f:
                    f.write(str(most))
                return
            except OSError:
                os.rmdir(self.path)
        raise Skip("no control group of the pids controller can be made")

    def enter(self):
        with open(os.path.join(self.path, "cgroup.procs"), "w") as f:
            f.write(str(os.getpid()))

    def close(self):
        harness.wait_for(lambda: not open(os.path.join(self.path, "cgroup.procs")).read())
        os.rmdir(self.path)


def in_group(most, beside=None, **kinds):
    """The workload in a group of its own; `beside`: a command that is in it, too."""
    group, other = Group(most), None
    try:
        if beside:
            other = subprocess.Popen(beside, preexec_fn=group.enter)
        return limits("--threads", "2000", preexec_fn=group.enter, **kinds)
    finally:
        if other:
            other.kill()
            other.wait()
        group.close()


@test
def a_limit_of_a_control_group_is_named(place):
    status, values, notes, out = in_group(100)
    check_eq(status, 0, out)
    check_eq((values["limit_threads"], values["reached"]), (99, 1), out)
    check_eq(notes["limit"], "cgroup pids.max")
    check(re.match(r"thread 100: .*\(cgroup pids.max, 100 in /sys/fs/cgroup/.*heddle-test-",
                   notes["said_no"]), out)


@test
def a_part_of_a_shared_limit_is_left_to_others(place):
    """A quarter of 400: looks come every 64 threads, so it stops at 256 or before."""
    status, values, notes, out = in_group(400, beside=["sleep", "60"])
    check_eq(status, 0, out)
    check(values["limit_threads"] + 2 <= 400 - 100 + 64 and values["limit_threads"] >= 200, out)
    check_eq((values["reached"], notes["limit"]), (0, "cgroup pids.max"), out)
    check_in("nobody, but 100 of it are left to others", notes["said_no"])
    status, values, notes, out = in_group(3, beside=["sleep", "60"])
    check(status == 0 or "left is for others" in out, out)


@test
def the_limit_of_a_user_is_named(place):
    if os.getuid() != 0:
        raise Skip("it takes root to be another user")
    folder = tempfile.mkdtemp(prefix="heddle-limits-", dir="/tmp")
    try:
        os.chmod(folder, 0o755)
        shutil.copy(program(), folder)

        def become():
            resource.setrlimit(resource.RLIMIT_NPROC, (60, 60))
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)

        p = subprocess.run([os.path.join(folder, "heddle-bench-pthread"), "limits"],
                           stdout=subprocess.PIPE, preexec_fn=become, timeout=60, cwd="/")
    finally:
        shutil.rmtree(folder)
    out = p.stdout.decode()
    check_eq(p.returncode, 0, out)
    check_in("sample limit_threads count 59", out)
    check_in("note limit RLIMIT_NPROC", out)


@test
def the_limit_of_addresses_is_named(place):
    def little():
        resource.setrlimit(resource.RLIMIT_AS, (512 << 20, 512 << 20))

    status, values, notes, out = limits("--threads", "2000", "--stack-size", str(8 << 20),
                                        preexec_fn=little)
    check_eq(status, 0, out)
    check(1 <= values["limit_threads"] < 64, out)
    check_eq((values["reached"], notes["limit"]), (1, "RLIMIT_AS"), out)


def in_namespace(most, command):
    """A shell line in a pid namespace with a pid_max of its own, which Linux 6.14 has."""
    version = tuple(int(n) for n in re.findall(r"\d+", os.uname().release)[:2])
    if os.getuid() != 0 or version < (6, 14) or not shutil.which("unshare"):
        raise Skip("it takes root, unshare(1) and Linux 6.14 to have a pid_max of one's own")
    line = "echo %d > /proc/sys/kernel/pid_max || exit 77; %s" % (most, command)
    p = subprocess.run(["unshare", "-p", "-f", "--mount-proc", "sh", "-c", line],
                       stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60)
    if p.returncode in (1, 77):
        raise Skip("no pid namespace can be made: " + p.stdout.decode())
    return p.stdout.decode()


@test
def the_highest_number_of_a_task_is_named(place):
    out = in_namespace(700, "exec %s limits --threads 2000" % program())
    check_in("note limit pid_max", out)
    check_in("sample reached count 1", out)
    check_in("(pid_max, 700)", out)
    started = float(re.search("limit_threads count (.*)", out).group(1))
    check(390 <= started < 700, out)
    out = in_namespace(900, "sleep 60 & %s limits --threads 2000; kill $!" % program())
    check_in("nobody, but 225 of it are left to others", out)
    check_in("(pid_max, 900)", out)


@test
def few_threads_meet_no_limit(place):
    for subject in ("pthread", "heddle"):
        status, values, notes, out = limits("--threads", "50", subject=subject)
        if status == 3 and "for others" in out:
            raise Skip("this machine has no room for 50 threads")
        check_eq((status, values["limit_threads"], values["reached"]), (0, 50, 0), out)
        check_in("never, up to 50", notes["said_no"])
        check("limit" not in notes, out)

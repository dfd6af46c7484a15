#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Runs every workload of every subject, as small as it goes, and checks what it says.

    tests/bench/bench.py BUILD        BUILD: a build tree with bench/

Prints TAP. Speed is no matter here; that results are checked, that options are understood and
that each line follows the protocol is."""

import os
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
WORKLOADS = os.path.join(ROOT, 'lab', 'workloads')

SAMPLE = re.compile(r'sample [a-z0-9_]+ (ns|us|ms|s|bytes|count|ratio|percent|per_s) '
                    r'[0-9][-+.0-9e]*$')
NOTE = re.compile(r'note [a-z0-9_]+ \S.*$')

# {experiment: [(arguments, metrics that must come)]}; what a subject does not list is left out.
SMALL = {
    'switch': [('--iterations 400 --samples 1', ['yield_ns']),
               ('--iterations 400 --samples 1 --workers 2 --threads 5', ['yield_ns'])],
    'spawn': [('--iterations 30 --count 10 --samples 2', ['single_ns', 'batch_ns'])],
    'lifecycle': [('--threads 20 --samples 2',
                   ['start_ms', 'join_ms', 'total_ms', 'first_ms']),
                  ('--threads 5 --stack-size 131072 --samples 1 --sleep-us 0', ['total_ms'])],
    'wake': [('--iterations 30 --samples 1', ['spin_p50_ns', 'spin_p99_ns']),
             ('--iterations 3 --samples 1 --gap-us 500', ['parked_p50_ns', 'parked_p99_ns'])],
    'capacity': [('--threads 50', ['start_ms', 'release_ms', 'total_ms', 'bytes_per_thread',
                                   'address_bytes_per_thread', 'ok_threads'])],
    'forkjoin': [('--work fib --n 9 --samples 1', ['fib_ms']),
                 ('--work skynet --leaves 100 --samples 1 --workers 2', ['skynet_ms'])],
    'idle': [('--threads 10 --seconds 1', ['idle_cpu_percent'])],
    'bare': [('--iterations 1000 --samples 2', ['bare_switch_ns'])],
}

# What the lab does not know, and `list` does not name: {experiment: (subjects, as above)}.
UNLISTED = {
    'latency': (['heddle', 'pthread'],
                [('--iterations 5 --gap-us 200', ['%s_%s_us' % (what, part)
                                                  for what in ('floor', 'sleeper', 'foreign',
                                                               'thread')
                                                  for part in ('p50', 'p99')])]),
    'sleepers': (['heddle', 'pthread'],
                 [('--threads 50 --span-ms 20', ['total_ms', 'late_p99_us', 'bytes_per_thread']),
                  ('--threads 50 --span-ms 20 --lead-ms 100', ['start_ms', 'most_asleep'])]),
    'preempt': (['heddle'], [('--kind %s --windows 1 --window-ms 5' % kind,
                              ['slice_10ms_ratio', 'slice_1ms_ratio', 'lost_us'])
                             for kind in ('carrier', 'light')]),
    'alone': (['heddle'], [('--window-ms 50', ['signals'])]),
}

WRONG = [['nothing'], ['spawn', '--nothing', '1'], ['spawn', '--count'],
         ['spawn', '--count', 'x'], ['spawn', '--count', '0'], ['spawn', '--count', '-1'], []]


class Report:
    def __init__(self):
        self.count = 0
        self.failed = False

    def say(self, trouble, name):
        self.count += 1
        for line in (trouble or '').splitlines():
            print('# ' + line)
        print('%s %d - %s' % ('not ok' if trouble else 'ok', self.count, name), flush=True)
        self.failed = self.failed or bool(trouble)

    def skip(self, name, reason):
        self.count += 1
        print('ok %d - %s # SKIP %s' % (self.count, name, reason), flush=True)


def call(command, timeout_s=60):
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              stdin=subprocess.DEVNULL, timeout=timeout_s)
    except subprocess.TimeoutExpired:
        return None, '', 'took longer than %d s' % timeout_s
    return (done.returncode, done.stdout.decode('utf-8', 'replace'),
            done.stderr.decode('utf-8', 'replace'))


def check_small(command, arguments, metrics):
    status, out, err = call(command + arguments.split())
    if status != 0:
        return 'status %s\n%s%s' % (status, out, err)
    seen = set()
    for line in out.splitlines():
        if not SAMPLE.match(line) and not NOTE.match(line):
            return 'not a line of the protocol: ' + line
        if line.startswith('sample '):
            seen.add(line.split()[1])
    missing = [m for m in metrics if m not in seen]
    return 'no samples of %s\n%s' % (', '.join(missing), out) if missing else None


def check_wrong(command):
    for arguments in WRONG:
        status, out, err = call(command + arguments)
        if status != 2 or out or not err.strip():
            return '%s: status %s instead of 2, or no message\n%s' % (arguments, status,
                                                                       out + err)
    return None


def check_cannot(command, arguments):
    status, out, err = call(command + arguments.split())
    if status != 3 or not re.search(r'^error \S', out, re.M):
        return 'status %s instead of 3, or no error line\n%s%s' % (status, out, err)
    return None


def check_subject(report, name, command):
    status, out, err = call(command + ['list'])
    listed = out.split()
    strange = [e for e in listed if e not in SMALL]
    report.say('status %s\n%s%s' % (status, out, err) if status != 0 or not listed or strange
               else None, name + ' lists what it can do')
    for experiment in listed:
        cpus = len(os.sched_getaffinity(0))
        for arguments, metrics in SMALL.get(experiment, []):
            test = '%s %s %s' % (name, experiment, arguments)
            if experiment == 'wake' and cpus < 2:
                report.skip(test, 'one CPU')
            else:
                report.say(check_small(command + [experiment], arguments, metrics), test)
    for experiment, (subjects, calls) in UNLISTED.items():
        for arguments, metrics in calls if name in subjects else []:
            report.say(check_small(command + [experiment], arguments, metrics),
                       '%s %s %s' % (name, experiment, arguments))
    report.say(check_wrong(command), name + ' refuses wrong options')
    return listed


def check_native(report, build):
    for subject in 'heddle', 'pthread', 'boost', 'tbb':
        paths = [os.path.join(build, folder, 'heddle-bench-' + subject)
                 for folder in ('bench', 'bench/peers')]
        paths = [path for path in paths if os.access(path, os.X_OK)]
        if not paths:
            report.skip(subject, 'its library is not installed')
            continue
        listed = check_subject(report, subject, [paths[0]])
        if 'forkjoin' in listed:
            report.say(check_cannot([paths[0]], 'forkjoin --work skynet --leaves 42'),
                       subject + ' knows which trees are possible')
        if subject == 'pthread':
            report.say(check_cannot([paths[0]], 'forkjoin --n 40'),
                       'pthread says that it cannot have a thread per call')


def check_echo(report, build):
    """Each echo server under the client that measures them."""
    folder = os.path.join(build, 'bench', 'net')
    for server in (os.path.join(build, 'examples', 'echo'), os.path.join(folder, 'echo-epoll'),
                   os.path.join(folder, 'echo-pthread')):
        name = os.path.basename(server)
        if not os.access(server, os.X_OK):
            report.skip(name, 'not built')
            continue
        process = subprocess.Popen([server, '--workers', '2'], stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE)
        try:
            port = process.stdout.readline().decode().strip().rpartition(':')[2]
            report.say(check_small(
                [os.path.join(folder, 'echo-load'), 'echo'], '--connections 50 --ms 50 '
                '--warmup-ms 5 --server %d --port %s' % (process.pid, port),
                ['requests_per_s', 'latency_p50_us', 'latency_p99_us', 'server_cpu_us']),
                'echo-load measures ' + name)
        finally:
            process.kill()
            process.wait()
            process.stdout.close()


def check_pythons(report):
    found = {}
    for name in ('python2.7', 'python3', sys.executable):
        path = shutil.which(name)
        if path:
            found.setdefault(os.path.realpath(path), path)
    for path in found.values():
        status, out, err = call([path, '-E', '-c',
                                 'import sys; print("%d.%d" % sys.version_info[:2])'])
        if status == 0:  # a name may be there that leads nowhere
            check_subject(report, 'python %s' % out.strip(),
                          [path, '-E', '-B', os.path.join(WORKLOADS, 'threads.py')])


def go_build(report, go, sources, folder, name):
    """The program built from the sources, None after an error."""
    program = os.path.join(folder, name)
    environment = dict(os.environ, GO111MODULE='off', GOFLAGS='', GOTOOLCHAIN='local')
    environment.setdefault('GOCACHE', os.path.join(folder, 'cache'))
    built = subprocess.run([go, 'build', '-o', program] + sorted(
        os.path.join(sources, source) for source in os.listdir(sources)), env=environment,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=300)
    report.say(built.stdout.decode('utf-8', 'replace') if built.returncode else None,
               'the Go %s builds' % name)
    return program if built.returncode == 0 else None


def check_go(report):
    go = shutil.which('go')
    if not go:
        report.skip('go', 'no go command')
        return
    folder = tempfile.mkdtemp()
    try:
        workload = go_build(report, go, os.path.join(WORKLOADS, 'go'), folder, 'workload')
        if workload:
            check_subject(report, 'go', [workload])
        peer = go_build(report, go, os.path.join(ROOT, 'bench', 'peers', 'go'), folder, 'peer')
        for arguments, metrics in [
                ('latency --iterations 3 --gap-us 200', ['sleeper_p50_us', 'thread_p99_us']),
                ('sleepers --threads 50 --span-ms 20 --lead-ms 50', ['total_ms', 'late_p99_us'])]:
            if peer:
                report.say(check_small([peer], arguments, metrics), 'go ' + arguments)
    finally:
        shutil.rmtree(folder)


def check_bars(report, build):
    bars = os.path.join(ROOT, 'bench', 'bars')
    status, out, err = call([sys.executable, bars, os.path.join(build, 'nowhere')])
    report.say(None if status == 2 else out + err, 'bars needs a build')
    status, out, err = call([sys.executable, bars, build, '--rounds', '1',
                             '--only', 'blocked, CPU'], 120)
    report.say(None if status in (0, 1) and 'of 1 bars met' in out else out + err,
               'bars measures one bar')


def main():
    report = Report()
    check_native(report, sys.argv[1])
    check_echo(report, sys.argv[1])
    check_pythons(report)
    check_go(report)
    check_bars(report, sys.argv[1])
    print('1..%d' % report.count)
    return 1 if report.failed else 0


sys.exit(main())

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
    'lifecycle-as': [('--threads 6 --samples 1 --sleep-us 10 ' + choice,
                      ['total_ms', 'exec_ms', 'cleanup_ms', 'tls_ns', 'bytes_per_thread',
                       'address_bytes_per_thread', 'user_us_per_thread',
                       'kernel_us_per_thread'])
                     for choice in ('--affinity pinned', '--priority low')] +
                    [('--threads 30 --samples 1 --sleep-us 10 --pool 4 --affinity pinned',
                      ['start_ms', 'join_ms', 'total_ms', 'first_ms', 'exec_ms'])],
    'limits': [('--threads 20', ['limit_threads', 'reached', 'start_us_per_thread',
                                 'end_us_per_thread', 'bytes_per_thread'])],
    'falsesharing': [('--iterations 500 --samples 1 --sharing ' + sharing,
                      ['add_ns', 'atomic_ns', 'alone_ns', 'slowdown'] + more)
                     for sharing, more in (('none', []), ('false', []), ('false --padding 256', []),
                                           ('true', ['lost_percent']),
                                           ('true --threads 1', ['lost_percent']))],
    'affinity': [('--iterations 3000 --samples 1 --owner %d --mode %s' % (owner, mode),
                  ['plain_ns', 'atomic_ns'])
                 for owner in (0, 50, 100) for mode in ('serial', 'concurrent')],
    'sync': [('--iterations 300 --samples 1 --what ' + what, metrics) for what, metrics in (
        ('mutex', ['lock_ns']), ('semaphore', ['sem_ns']), ('readers --threads 1', ['read_ns']),
        ('crowd --threads 8 --window-ms 10', ['crowd_per_s', 'crowd_per_cpu_s', 'least_share']),
        ('turns', ['turn_ns']), ('turns --workers 1', ['turn_ns']))],
    'memory': [('--iterations 1000 --samples 1 --what ' + what, metrics) for what, metrics in (
        ('latency --kib 4', ['load_ns', 'load_4k_ns']), ('latency --kib 4096', ['load_ns']),
        ('bandwidth --mib 4', ['peak_per_s', 'read_per_s', 'write_per_s', 'copy_per_s',
                               'read_percent']),
        ('barrier', ['store_ns', 'release_ns', 'seq_cst_ns', 'fence_ns', 'fetch_add_ns',
                     'cas_ns']),
        ('line', ['line_round_ns', 'both_add_ns']),
        ('fault --mib 4', ['fault_ns', 'back_ns']))],
    'wake': [('--iterations 30 --samples 1', ['spin_p50_ns', 'spin_p99_ns']),
             ('--iterations 3 --samples 1 --gap-us 500', ['parked_p50_ns', 'parked_p99_ns'])],
    'capacity': [('--threads 50', ['start_ms', 'release_ms', 'total_ms', 'bytes_per_thread',
                                   'address_bytes_per_thread', 'ok_threads'])],
    'forkjoin': [('--work fib --n 9 --samples 1', ['fib_ms']),
                 ('--work skynet --leaves 100 --samples 1 --workers 2', ['skynet_ms'])],
    'idle': [('--threads 10 --seconds 1', ['idle_cpu_percent'])],
    'bare': [('--iterations 1000 --samples 2', ['bare_switch_ns'])],
    # Of interpreters alone; tests/lab/workloads.py looks closer.
    'gil': [('--work convoy --count 1', ['echo_2_us', 'sleep_0_us'])],
    'attributes': [('--iterations 100 --samples 1', ['alone_ns', 'padded_ns'])],
    'specialize': [('--iterations 100 --samples 1', ['int_add_ns', 'add_miss_ns'])],
    'names': [('--iterations 100 --samples 1', ['local_ns', 'shadowed_ns'])],
    'refcount': [('--count 1000 --samples 1', ['create_ms', 'collect_ms'])],
}

# What Pythons print instead.
OF_PYTHONS = {'affinity': ['object_ns']}

# How the workload pool is called.
POOL = [(arguments + ' --iterations 3000 --samples 1', ['pair_ns'])
        for arguments in ('--size 64', '--size 1024 --batch 100', '--size 64 --remote 50')]

SMALL['pool'] = POOL
SMALL['rcu'] = [('--iterations 3000 --samples 1', ['read_ns', 'plain_ns'])]

# Who lists nothing, since the lab does not know what it does.
UNKNOWN = ['lockfree']
# What needs two CPUs, beside what exchanges objects.
TWO_CPUS = ['wake', 'affinity', 'falsesharing']

# What few can do, whether `list` names it or not: {experiment: (subjects, as above)}.
SPECIAL = {
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
    'share': (['heddle'], [('--threads 8 --slice-us 200 --seconds 1 --policy %s --kind %s' % mode,
                            ['share_p99_percent', 'share_worst_percent',
                             'floor_worst_percent'])
                           for mode in [('rr', 'carrier'), ('priority', 'light'),
                                        ('steal', 'carrier')]]),
    'starve': (['heddle'], [('--seconds 1 --slice-us 1000 --policy %s' % policy,
                             ['waits', 'waits_over_10_slices', 'longest_wait_slices'])
                            for policy in ('steal', 'rr', 'priority')]),
    'state': (['heddle'], [('--iterations 400 --samples 1',
                            ['yield_saved_ns', 'yield_no_fpu_ns', 'yield_none_ns',
                             'yield_mixed_ns', 'yield_none_ratio'])]),
    'many': (['heddle'], [('--threads 30 --yields 2 --samples 2',
                           ['prefetched_ns', 'plain_ns', 'prefetch_ratio'])]),
    'counter': (['heddle'], [('--iterations 1000 --samples 1',
                              ['shared_ns', 'counter_ns', 'percpu_ns', 'unpadded_ns',
                               'padded_ns', 'locked_ns'])]),
    'ref': (['heddle'], [('--iterations 300 --samples 1',
                          ['plain_ns', 'atomic_ns', 'owner_ns', 'others_ns', 'shared_ns',
                           'one_owner_ns']),
                         ('--iterations 300 --samples 1 --mix 1',
                          ['mix_90_biased_ns', 'mix_10_atomic_ns'])]),
    'chan': (['heddle'], [('--iterations 300 --samples 1 --workers %s' % mode,
                           ['chan_ns', 'unbuffered_ns', 'select_ns', 'one_ns', 'many_ns'] + more)
                          for mode, more in (('1', []), ('2', ['line_round_ns']),
                                             ('2 --apart 1', ['line_round_ns']))]),
    'rcu': (['heddle'], [('--iterations 3000 --samples 1',
                          ['read_ns', 'plain_ns', 'idle_us', 'period_us'])]),
    'lock': (['heddle'], [('--iterations 300 --samples 1',
                           ['mutex_ns', 'pthread_mutex_ns', 'mutex_ratio'])]),
    'rwlock': (['heddle'], [('--iterations 300 --samples 1',
                             ['rwlock_ns', 'read_mostly_ns', 'pthread_rwlock_ns', 'rwlock_ratio',
                              'read_mostly_ratio'])]),
    'crowd': (['heddle'], [('--threads 8 --window-ms 20 --samples 1 --work 5',
                            ['crowd_per_s', 'pthread_crowd_per_s', 'crowd_ratio',
                             'crowd_cpu_ratio', 'crowd_least_share'])]),
    'pingpong': (['heddle'], [('--iterations 30 --samples 1', ['cond_round_ns']),
                              ('--iterations 30 --samples 1 --workers 2 --pinned 1',
                               ['cond_round_ns', 'line_round_ns', 'cond_line_ratio'])]),
    'lockfree': (['heddle', 'lockfree'],
                 [('--sides %d --iterations 3000 --samples 1 --capacity 16' % sides,
                   ['ring_ns', 'queue_ns', 'threads_ring_ns', 'threads_queue_ns'])
                  for sides in (1, 2)]),
    'alone': (['heddle'], [('--window-ms 50', ['signals'])]),
    'affinity': (['heddle'], [('--iterations 3000 --samples 1 --owner 50 --mode concurrent',
                               ['biased_ns', 'biased_over_atomic', 'bias_switches', 'merges',
                                'migrations', 'by_owner_percent'])]),
    'alloc': (['heddle'], POOL),
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
    strange = [e for e in listed if e not in SMALL and name not in SPECIAL.get(e, [[]])[0]]
    wrong = status != 0 or strange or bool(listed) == (name in UNKNOWN)
    report.say('status %s\n%s%s' % (status, out, err) if wrong else None,
               name + ' lists what it can do')
    cpus = len(os.sched_getaffinity(0))
    for experiment in listed:
        for arguments, metrics in SMALL.get(experiment, []):
            if name.startswith('python'):
                metrics = OF_PYTHONS.get(experiment, metrics)
            test = '%s %s %s' % (name, experiment, arguments)
            two = experiment in TWO_CPUS or '--remote' in arguments or 'line' in arguments
            if two and cpus < 2:
                report.skip(test, 'one CPU')
            else:
                report.say(check_small(command + [experiment], arguments, metrics), test)
    for experiment, (subjects, calls) in SPECIAL.items():
        for arguments, metrics in calls if name in subjects else []:
            test = '%s %s %s' % (name, experiment, arguments)
            if (experiment in TWO_CPUS or '--remote' in arguments) and cpus < 2:
                report.skip(test, 'one CPU')
            else:
                report.say(check_small(command + [experiment], arguments, metrics), test)
    report.say(check_wrong(command), name + ' refuses wrong options')
    return listed


def check_steps(program):
    """Every step costs more than the one before, and the memory beyond most."""
    status, out, err = call([program] + 'memory --what steps --iterations 2000'.split())
    values = dict(line.split()[1::2] for line in out.splitlines() if line.startswith('sample '))
    if status != 0 or float(values.get('memory_ns', 0)) <= 0:
        return 'status %s\n%s%s' % (status, out, err)
    names = ['step_%d_bytes' % i for i in range(1, 9)]
    sizes = [float(values[name]) for name in names if name in values]
    return None if sizes == sorted(set(sizes)) else 'steps in no order\n' + out


def check_limit(program):
    """With little address space, a thread cannot be started, and the others still end."""
    limited = ['/bin/sh', '-c', 'ulimit -v 1000000 && exec "$@"', 'sh', program]
    status, out, err = call(limited + 'limits --threads 5000 --stack-size 8388608'.split())
    good = (status == 0 and re.search(r'^sample reached count 1$', out, re.M) and
            re.search(r'^note said_no thread \d+: \S', out, re.M))
    return None if good else 'status %s\n%s%s' % (status, out, err)


def check_native(report, build):
    for subject in ['heddle', 'pthread', 'machine', 'boost', 'tbb', 'mimalloc', 'jemalloc', 'urcu',
                    'lockfree']:
        paths = [os.path.join(build, place + subject) for place in (
            'bench/heddle-bench-', 'bench/peers/heddle-bench-', 'bench/peers/peer-')]
        paths = [path for path in paths if os.access(path, os.X_OK)]
        if not paths:
            report.skip(subject, 'its library is not installed')
            continue
        listed = check_subject(report, subject, [paths[0]])
        if 'forkjoin' in listed:
            report.say(check_cannot([paths[0]], 'forkjoin --work skynet --leaves 42'),
                       subject + ' knows which trees are possible')
        if subject == 'boost':
            report.say(check_cannot([paths[0]], 'lifecycle --affinity pinned'),
                       'boost says that it cannot choose CPUs')
        if subject == 'machine':
            report.say(check_steps(paths[0]), 'the ends of caches are found')
            report.say(check_cannot([paths[0]], 'memory --what bandwidth --threads 256'),
                       'machine says that there are too few CPUs')
        if subject == 'pthread':
            report.say(check_limit(paths[0]), 'what the system says at its limit is told')
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

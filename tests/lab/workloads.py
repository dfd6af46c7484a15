#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Runs the experiments about interpreters with every Python there is, as small as they go, and
checks what they say. Prints TAP.

    tests/lab/workloads.py [PATTERN...]        patterns choose tests by name

Speed is no matter here. That the same scripts run with every version is, and that what they show
about a version (its instructions, where attributes lie, its lock) is what that version does."""

import concurrent.futures
import fnmatch
import glob
import os
import re
import shutil
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
WORKLOADS = os.path.join(ROOT, 'lab', 'workloads')

SAMPLE = re.compile(r'sample ([a-z0-9_]{1,48}) (ns|us|ms|s|bytes|count|ratio|percent|per_s) '
                    r'([0-9][-+.0-9e]*)$')
NOTE = re.compile(r'note ([a-z0-9_]{1,48}) (\S.*)$')

SHADOWED = 'LOAD_GLOBAL_MODULE', 'LOAD_GLOBAL_BUILTIN'  # while there is a global `len`, and after

ELSEWHERE = {'affinity': 'affinity', 'attributes': 'falsesharing', 'gil': 'gil', 'names': 'names',
             'refcount': 'refcount', 'specialize': 'specialize'}

TESTS = []


class Skip(Exception):
    pass


class Python:
    def __init__(self, path, version, implementation, free_threaded):
        self.path, self.version = path, version
        self.cpython, self.free_threaded = implementation == 'CPython', free_threaded
        self.specializes = self.cpython and version >= ((3, 14) if free_threaded else (3, 11))
        self.name = '%s %s%s' % (implementation, '.'.join(map(str, version)),
                                 't' if free_threaded else '')

    def call(self, script, arguments, status=0):
        """Samples {metric: [values]} and notes {key: text} of a workload."""
        command = [self.path, '-E', '-B', os.path.join(WORKLOADS, script)] + arguments.split()
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, timeout=60)
        out, err = done.stdout.decode(), done.stderr.decode()
        what = '%s %s' % (script, arguments)
        check(done.returncode == status, '%s: status %s\n%s%s' % (what, done.returncode, out, err))
        if status or arguments == 'list':
            return out, err
        samples, notes = {}, {}
        for line in out.splitlines():
            sample, note = SAMPLE.match(line), NOTE.match(line)
            check(sample or note, '%s: not a line of the protocol: %s' % (what, line))
            if sample:
                samples.setdefault(sample.group(1), []).append(float(sample.group(3)))
            else:
                notes[note.group(1)] = note.group(2)
        return samples, notes


def test(function):
    TESTS.append(function)
    return function


def check(condition, message):
    if not condition:
        raise AssertionError(message)


def check_has(found, names):
    missing = [name for name in names.split() if name not in found]
    check(not missing, 'there is no %s among %s' % (', '.join(missing), sorted(found)))


def two_cpus():
    if len(os.sched_getaffinity(0)) < 2:
        raise Skip('one CPU')


@test
def lists_and_refuses(python):
    listed, _ = python.call('threads.py', 'list')
    for experiment, module in ELSEWHERE.items():
        check(experiment in listed.split(), experiment + ' is not listed')
        alone, _ = python.call(module + '.py', 'list')
        check(alone.split() == [experiment], '%s.py lists %r' % (module, alone))
    for wrong in ('', 'nothing', 'gil --nothing 1', 'gil --work', 'gil --work nothing',
                  'gil --count x', 'names --samples 0', 'affinity --mode both'):
        out, err = python.call('threads.py', wrong, status=2)
        check(err.strip() and not out, 'no message for %r' % wrong)
    python.call('affinity.py', 'affinity --owner 101', status=3)


@test
def gil_countdown(python):
    two_cpus()
    samples, notes = python.call(
        'threads.py', 'gil --work countdown --iterations 2000 --samples 2')
    for name in ('one_thread_ms', 'one_core_ms', 'two_cores_ms', 'two_cores_switches'):
        check(len(samples.get(name, [])) == 2, '%s: %r' % (name, samples.get(name)))
    lock = 'none' if python.free_threaded else 'old' if python.version < (3, 2) else 'new'
    check(not python.cpython or notes['lock'] == lock, notes['lock'])


@test
def gil_convoy(python):
    samples, _ = python.call('gil.py', 'gil --work convoy --count 2 --sleep-us 50')
    for busy in range(3):
        for what in ('echo', 'sleep'):
            found = samples.get('%s_%d_us' % (what, busy), [])
            check(len(found) == 2, '%s beside %d: %r' % (what, busy, found))
        check(min(samples['sleep_%d_us' % busy]) >= 50, 'slept too short: %r' % samples)


@test
def affinity(python):
    two_cpus()
    for mode in ('serial', 'concurrent'):
        for owner in (0, 30, 100):
            samples, notes = python.call('threads.py', 'affinity --mode %s --owner %d '
                                         '--iterations 1000 --samples 1' % (mode, owner))
            check(samples['object_ns'][0] > 0, repr(samples))
    check(not python.cpython or ('biased' in notes['counts']) == python.free_threaded,
          notes['counts'])


@test
def the_pad_does_nothing(python):
    samples, notes = python.call('threads.py', 'attributes --iterations 100 --samples 1')
    check_has(samples, ' '.join(name + '_ns' for name in (
        'alone', 'separate', 'attributes', 'padded', 'slots', 'neighbours', 'view_1', 'view_256',
        'same')))
    if not python.cpython:
        raise Skip('objects move')
    check(samples['slots_bytes'] == [8], repr(samples))
    if python.version >= (3, 6):
        check(samples['attributes_bytes'] == [8], repr(samples))
        check(samples['padded_bytes'] == [16], 'the pad makes %r' % samples['padded_bytes'])
    else:
        check("the text '64'" in notes['pad'], notes['pad'])


@test
def names(python):
    samples, notes = python.call('threads.py', 'names --iterations 100 --samples 1')
    check_has(samples, ' '.join(name + '_ns' for name in (
        'local', 'closure', 'global', 'builtin', 'shadowed', 'unshadowed', 'module_level',
        'attribute', 'class_attribute', 'method', 'method_call', 'global_unchanged',
        'global_stored', 'global_added', 'method_changed')))
    check("'int' object is not callable" in notes['shadowing'], notes['shadowing'])
    for name, words in (('local', 'LOAD_FAST'), ('global', 'LOAD_GLOBAL somewhere'),
                        ('closure', 'LOAD_DEREF held'), ('module_level', 'LOAD_NAME somewhere'),
                        ('attribute', 'LOAD_ATTR'), ('set_attribute', 'STORE_ATTR'),
                        ('builtin', 'LOAD_GLOBAL')):
        check(words in notes['dis_' + name], '%s: %s' % (name, notes['dis_' + name]))
    if python.specializes:
        check('LOAD_GLOBAL_MODULE' in notes['adaptive_global'], notes['adaptive_global'])
        check('LOAD_GLOBAL_BUILTIN' in notes['adaptive_builtin'], notes['adaptive_builtin'])
        found = notes['adaptive_shadowed'].split()[0], notes['adaptive_unshadowed'].split()[0]
        check(found == SHADOWED, repr(found))


@test
def specialize(python):
    samples, notes = python.call('threads.py', 'specialize --iterations 100 --samples 1')
    check_has(samples, ' '.join(name + '_ns' for name in (
        'int_add', 'float_add', 'mixed_add', 'str_add', 'user_add', 'attribute', 'slot', 'global',
        'add_1_type', 'add_2_types', 'load_1_type', 'load_2_types', 'load_8_types', 'add_cold',
        'add_warm', 'add_miss', 'add_unsettled')))
    plain = notes['dis_int_add']
    check(('BINARY_OP' if python.version >= (3, 11) else 'BINARY_ADD') in plain, plain)
    if python.specializes:
        for name, instruction in (('int_add', 'BINARY_OP_ADD_INT'),
                                  ('float_add', 'BINARY_OP_ADD_FLOAT'),
                                  ('attribute', 'LOAD_ATTR_INSTANCE_VALUE'),
                                  ('slot', 'LOAD_ATTR_SLOT'), ('global', 'LOAD_GLOBAL_MODULE')):
            text = notes['adaptive_' + name]
            check(instruction in text, '%s: %s' % (name, text))
    else:
        check(not [key for key in notes if key.startswith('adaptive')], repr(sorted(notes)))


@test
def refcount(python):
    samples, notes = python.call('threads.py', 'refcount --count 3000 --samples 1')
    check_has(samples, 'create_ms share_ms unshare_ms share_none_ms release_ms scan_ms collect_ms '
                       'keep_ms pause_max_ms')
    if python.version >= (3, 3) and python.cpython:
        check_has(samples, 'collections collector_percent')
        check(samples['collector_percent'][0] <= 100, repr(samples))
    check_has(notes, 'counts pauses')


# ---- running them ----

PROBE = ('import sys, platform; gil = getattr(sys, "_is_gil_enabled", None); '
         'print("%d %d %d %s %d" % (tuple(sys.version_info[:3]) + '
         '(platform.python_implementation(), bool(gil) and not gil())))')


def find():
    """Every interpreter there is, each version once."""
    versions = os.path.join(os.environ.get('PYENV_ROOT') or os.path.expanduser('~/.pyenv'),
                            'versions', '*', 'bin', 'python')
    paths = [sys.executable] + sorted(glob.glob(versions))
    paths += filter(None, map(shutil.which, ('python2.7', 'python3', 'pypy', 'pypy3')))
    found = {}
    for path in paths:
        try:
            done = subprocess.run([path, '-E', '-S', '-c', PROBE], stdout=subprocess.PIPE,
                                  stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL, timeout=20,
                                  cwd=WORKLOADS)
        except (OSError, subprocess.TimeoutExpired):
            continue
        words = done.stdout.decode().split()
        if done.returncode == 0 and len(words) == 5:
            python = Python(path, tuple(map(int, words[:3])), words[3], words[4] == '1')
            found.setdefault(python.name, python)
    return sorted(found.values(), key=lambda p: (p.version, p.name))


def run(function, python):
    try:
        function(python)
    except Skip as reason:
        return True, ' # SKIP %s' % reason
    except (AssertionError, KeyError, subprocess.TimeoutExpired) as trouble:
        return False, '%s: %s' % (type(trouble).__name__, trouble)
    return True, ''


def main(patterns):
    chosen = [(f, p) for p in find() for f in TESTS
              if any(fnmatch.fnmatch(f.__name__, pattern) for pattern in patterns or ['*'])]
    failed = False
    print('1..%d' % len(chosen))
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        results = pool.map(lambda one: run(*one), chosen)
        for number, ((function, python), (good, text)) in enumerate(zip(chosen, results), 1):
            name = '%s, %s' % (function.__name__, python.name)
            print('%s %d - %s%s' % ('ok' if good else 'not ok', number, name,
                                    text if good else ''), flush=True)
            if not good:
                print('\n'.join('# ' + line for line in text.splitlines()), flush=True)
                failed = True
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))

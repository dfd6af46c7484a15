#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""That tests/run reads what programs print as it should: a runner that miscounts hides failures.
Prints TAP."""

import contextlib
import importlib.machinery
import importlib.util
import io
import os
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.dont_write_bytecode = True
LOADER = importlib.machinery.SourceFileLoader('run', os.path.join(HERE, '..', 'run'))
SPEC = importlib.util.spec_from_loader('run', LOADER)
run = importlib.util.module_from_spec(SPEC)
LOADER.exec_module(run)

# (what, output, exit status, passed, failed, skipped)
CASES = [
    ('all pass', '1..2\nok 1 - a\nok 2 - b\n', 0, 2, 0, 0),
    ('the plan may come last', 'ok 1 - a\nok 2\n1..2\n', 0, 2, 0, 0),
    ('other lines are no results', '1..1\nokay\n# ok 2\n  ok 3\nok 1 - a\n', 0, 1, 0, 0),
    ('one fails', '1..2\nok 1 - a\nnot ok 2 - b\n', 1, 1, 1, 0),
    ('a skip', '1..2\nok 1 - a # SKIP no tool\nok 2\n', 0, 1, 0, 1),
    ('all is skipped', '1..0 # SKIP no tool\n', 0, 0, 0, 1),
    ('a result is missing', '1..2\nok 1 - a\n', 0, 1, 1, 0),
    ('it died before the end', '1..2\nok 1 - a\n', -11, 1, 1, 0),
    ('it printed nothing', '', 0, 0, 1, 0),
    ('all passed, but its status says no', '1..1\nok 1\n', 23, 1, 1, 0),
]


# Programs of which b fails at first: (what, what b prints by itself, and its status, whether the
# program observes others, what else it prints at first, passed, failed)
AGAIN = [
    ('passes by itself', '1..1\nok 1 - b\n', 0, True, '', 2, 0),
    ('fails again', '1..1\nnot ok 1 - b\n', 1, True, '', 1, 1),
    ('is not there', '1..0\n', 0, True, '', 1, 1),
    ('hid that another is missing', '1..1\nok 1 - b\n', 0, True, '1..3\n', 1, 2),
    ('is of the library, and passes', '1..1\nok 1 - b\n', 0, False, '', 2, 0),
    ('is of the library, and fails again', '1..1\nnot ok 1 - b\n', 1, False, '', 1, 1),
    ('is of the library, and is not there', '1..0\n', 0, False, '', 1, 1),
    ('crashed', '1..1\nok 1 - b\n', 0, False, '1..2\n# b: killed by signal 11 (x)\n', 1, 1),
    ('was found fault with', '1..1\nok 1 - b\n', 0, False, '1..2\n# b: exit status 66\n', 1, 1),
    ('hung', '1..1\nok 1 - b\n', 0, False, '1..2\n# b: no end after 60 s\n', 1, 1),
    ('printed of another that crashed', '1..1\nok 1 - b\n', 0, False,
     '1..2\n# a: exit status 66\n', 2, 0),
]


def second_time(folder, alone, status, observes, plan):
    """How many passed and failed."""
    path = os.path.join(folder, 'program')
    with open(path, 'w') as file:
        file.write('#!/bin/sh\nif [ "$1" = b ]; then printf "%%b" "%s"; exit %d; fi\n'
                   'printf "%%b" "%s"; exit 1\n' % (
                       alone.replace('\n', '\\n'), status,
                       (plan or '1..2\n').replace('\n', '\\n') +
                       'ok 1 - a\\nnot ok 2 - b\\n'))
    os.chmod(path, 0o755)
    test = run.Test(run.VARIANTS[0], 'made up', [path], folder, {}, 60, True, False, observes)
    results = run.Results()
    with contextlib.redirect_stdout(io.StringIO()):
        run.run_test(test, results)
        run.run_again(results)
    return results.passed, results.failed


def main():
    failed = 0
    os.environ.setdefault('HEDDLE_TEST_SEED', '1')
    print('1..%d' % (len(CASES) + len(AGAIN) + 1))
    for number, (what, output, status, *expected) in enumerate(CASES, 1):
        outcome = run.read_tap(output, status)
        counts = [outcome.passed, len(outcome.failed), len(outcome.skipped)]
        if counts != expected:
            failed += 1
            print('# counted %s, not %s' % (counts, expected))
        print('%sok %d - TAP: %s' % ('not ' if counts != expected else '', number, what))
    statuses = [run.read_status('', 0), run.read_status('why', 77), run.read_status('', -6)]
    good = [(o.passed, len(o.failed), len(o.skipped)) for o in statuses] == [
        (1, 0, 0), (0, 0, 1), (0, 1, 0)]
    print('%sok %d - exit statuses' % ('' if good else 'not ', len(CASES) + 1))
    with tempfile.TemporaryDirectory() as folder:
        for number, (what, *how, passed, fails) in enumerate(AGAIN, len(CASES) + 2):
            got = second_time(folder, *how)
            if got != (passed, fails):
                failed += 1
                print('# %d passed and %d failed, not %d and %d' % (got + (passed, fails)))
            print('%sok %d - what fails and %s' % (
                'not ' if got != (passed, fails) else '', number, what))
    return 1 if failed or not good else 0


if __name__ == '__main__':
    sys.exit(main())
